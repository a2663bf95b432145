"""What `harness launch` says."""

from typing import Any

from rich.text import Text

from harness.launch.tasks import Task


def task_view(task: Task) -> Text:
    """Where the task lies, and the commands to give."""
    lines = [str(task.file), "nothing was rented; to start it, and to have its results:"]
    return Text("\n".join([*lines, *(f"  {command}" for command in task.commands)]))


def task_data(task: Task) -> dict[str, Any]:
    """The same for scripts."""
    request = task.request
    return {
        "task": str(task.file),
        "cloud": request.cloud.value,
        "gpu": request.gpu,
        "disk_gb": request.disk_gb,
        "is_spot": request.is_spot,
        "store": request.store,
        "commands": list(task.commands),
    }
