"""The missing runs of a comparison, each in a process of its own, a few at a time."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from core.errors import HarnessError
from core.training.interrupts import InterruptFlag
from harness.events import last_step
from harness.planning import PlannedRun
from harness.progress import Display, describe
from harness.records import RECORD, Status, load_record
from harness.show import number

_POLL_S = 1.0


def num_jobs(asked: int) -> int:
    """Runs at a time: what was asked; 0 is one a core, or one on a GPU."""
    if asked:
        return asked
    import torch

    if torch.cuda.is_available():
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def run_all(planned: Sequence[PlannedRun], *, jobs: int, metric: str, display: Display) -> None:
    """Run each in a process of its own, `jobs` at a time; a failed run does not stop the others.

    metric: whose value is told of each run as it ends.
    Raises:
        Interrupted: a signal came; every child was told to write a checkpoint and has ended.
        HarnessError: a child ended without a record.
    """
    waiting = list(planned)
    jobs = num_jobs(jobs)
    active: list[_Child] = []
    with InterruptFlag() as interrupt:
        try:
            while waiting or active:
                interrupt.raise_if_set()
                while waiting and len(active) < jobs:
                    active.append(_Child(waiting.pop(0), metric=metric, display=display))
                time.sleep(_POLL_S)
                for child in list(active):
                    child.report()
                    if child.process.poll() is not None:
                        active.remove(child)
                        child.finish()
        finally:
            for child in active:
                child.process.send_signal(signal.SIGTERM)
            for child in active:
                child.process.wait()
                child.pipe.close()


class _Child:
    """One `harness run` in a process, watched through its event log."""

    def __init__(self, planned: PlannedRun, *, metric: str, display: Display) -> None:
        self.planned = planned
        self.metric = metric
        self.display = display
        self.name = f"{planned.identity.variant} seed {planned.identity.seed}"
        planned.folder.mkdir(parents=True, exist_ok=True)
        # A failed run is tried again; its old record must not pass for the new one.
        (planned.folder / RECORD).unlink(missing_ok=True)
        self.log = planned.folder / "run.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "harness.child", *planned.request.words[1:]],
                # Never written to: the child stops when it closes, however this process ends.
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                # Ctrl-C reaches the comparison alone, which stops its children once: a second
                # signal would kill them before their checkpoint.
                start_new_session=True,
            )
        assert self.process.stdin is not None
        self.pipe = self.process.stdin
        self.report()

    def report(self) -> None:
        """Show the last step on the event log."""
        total = self.planned.plan.total_steps
        last = last_step(self.planned.folder / "events.jsonl")
        if last is None:
            self.display.phase(self.name, 0, total, "starting")
            return
        # The last step is held back: after it come sampling and scoring.
        is_trained = last.global_step >= total
        detail = "sampling, scoring" if is_trained else f"{last.stage} {describe(last)}"
        self.display.phase(self.name, min(last.global_step, total - 1), total, detail)

    def finish(self) -> None:
        """Note how the process ended.

        Raises:
            HarnessError: it left no record.
        """
        self.pipe.close()
        if not (self.planned.folder / RECORD).is_file():
            if self.process.returncode == 0:
                # It is another run by now: its identity is read anew in its own process.
                raise HarnessError(
                    f"{self.name} ended well, but as another run than {self.planned.folder.name}: "
                    "the code, the models or the data were changed meanwhile; give the same "
                    "command again"
                )
            tail = self.log.read_text(errors="replace").strip().splitlines()[-1:]
            error = HarnessError(
                f"{self.name} ended with exit code {self.process.returncode} and no record: "
                f"{tail[0] if tail else 'nothing was said'} (log: {self.log})"
            )
            error.exit_code = max(1, self.process.returncode)
            raise error
        record = load_record(self.planned.folder)
        self.display.phase(self.name, self.planned.plan.total_steps, self.planned.plan.total_steps)
        if record.status is Status.FAILED:
            self.display.say(f"{self.name} failed: {record.error}")
            return
        seconds = sum(record.cost["seconds"].values())
        value = number(record.metrics.get(self.metric, {}).get("value")) or "blank"
        self.display.say(f"{self.name} done in {seconds:.0f} s, {self.metric} {value}")
