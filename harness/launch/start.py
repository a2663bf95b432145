"""Starts a task where a tool on this machine can."""

import shutil
import subprocess

from core.errors import HarnessError, UsageError
from harness.launch.tasks import Task


def start_task(task: Task) -> None:
    """Start it.

    Raises:
        UsageError: nothing here can; the task is written all the same.
        HarnessError: the tool refused.
    """
    if task.start is None:
        raise UsageError(
            f"--start works with --cloud skypilot alone; {task.file} is written, and the commands "
            "above start it"
        )
    if shutil.which(task.start[0]) is None:
        raise UsageError(
            f"{task.start[0]} is not installed (pip install 'skypilot[CLOUD]', then sky check); "
            f"{task.file} is written"
        )
    done = subprocess.run(task.start, check=False)
    if done.returncode:
        raise HarnessError(f"{' '.join(task.start)} ended with exit code {done.returncode}")
