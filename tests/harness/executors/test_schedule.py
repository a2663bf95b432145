"""Work through an executor: what is handed on, retried, waited for and given up."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import HarnessError, MismatchError
from core.training.interrupts import Interrupted
from core.training.results import StepReport
from harness.executors import schedule
from harness.executors.base import UNGATHERED, Executor, Job, Task
from harness.executors.local import LocalExecutor
from harness.executors.run_all import run_all
from harness.executors.schedule import Outcome, Work, drive
from harness.records.folders import RECORD
from harness.records.lock import held
from harness.records.record import Status
from harness.run.plan import PlannedRun, RunRequest, plan_run
from harness.wording.display import Display

MakeRequest = Callable[..., RunRequest]
FACTS = ("identity", "metrics", "arms", "controls", "evaluation", "parameters", "guards_passed")


class Told(Display):
    """Notes what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


class Noted(Work):
    """Tasks in order; notes what it is told."""

    def __init__(self, *tasks: Task) -> None:
        self.waiting = list(tasks)
        self.steps: list[int] = []
        self.outcomes: list[Outcome] = []

    def next(self) -> Task | None:
        return self.waiting.pop(0) if self.waiting else None

    @property
    def is_over(self) -> bool:
        return not self.waiting

    def on_steps(self, task: Task, steps: Sequence[StepReport]) -> bool:
        self.steps += [step.global_step for step in steps]
        return True

    def on_end(self, task: Task, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


class Scripted(Executor):
    """A stand-in whose jobs end at once with the codes that a test names, in turn."""

    capacity = 1

    def __init__(self, *codes: int, words: str = "") -> None:
        self.codes = list(codes)
        self.words = words
        self.started = 0

    def start(self, task: Task) -> Job:
        self.started += 1
        return _Ended(task, self.codes.pop(0), self.words)

    def __exit__(self, *exc_info: object) -> None:
        return None


class _Ended(Job):
    def __init__(self, task: Task, code: int, words: str) -> None:
        self.task, self.code, self.words = task, code, words

    def poll(self) -> int | None:
        return self.code

    def stop(self) -> None:
        return None

    def last_words(self) -> str:
        return self.words


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses."""
    monkeypatch.setattr(schedule, "_POLL_S", 0.001)
    monkeypatch.setattr(schedule, "_TICK_S", 0.0)
    monkeypatch.setattr(schedule, "_HELD_PAUSE_S", 0.001)


@pytest.fixture
def planned(small_request: MakeRequest, tmp_path: Path) -> PlannedRun:
    """A run in an empty folder of its own."""
    planned = plan_run(small_request(seed=60), display=Display())
    planned.request = replace(planned.request, results=tmp_path)
    planned.folder.mkdir(parents=True)
    return planned


def step_line(global_step: int) -> str:
    step = StepReport(
        stage="stage1",
        step=global_step,
        stage_steps=9,
        global_step=global_step,
        total_steps=9,
        loss=0.5,
        losses={},
        grad_norm=1.0,
        lr=0.1,
        gates={},
        validation_loss=None,
    )
    return json.dumps(vars(step)) + "\n"


def test_a_run_whose_process_is_killed_ends_as_an_undisturbed_one(
    small_request: MakeRequest, tmp_path: Path
) -> None:
    """Catches: a run lost to the out-of-memory killer, begun anew, or told twice of its steps."""
    overrides = ("stage1.steps=40", "training.checkpoint_every=3")
    calm = small_request(*overrides, seed=61)
    rough = replace(calm, results=tmp_path / "rough")
    for name in ("data", "cache"):
        if (calm.results / name).exists():
            shutil.copytree(calm.results / name, rough.results / name)
    plans = [plan_run(request, display=Display()) for request in (calm, rough)]

    class Killed(Noted):
        def on_steps(self, task: Task, steps: Sequence[StepReport]) -> bool:
            super().on_steps(task, steps)
            holder = rough_folder / "holder.json"
            if len(display.lines) == 0 and task.planned.folder == rough_folder:
                os.kill(json.loads(holder.read_text())["pid"], signal.SIGKILL)
                killed.append(self.steps[-1])
            return True

    rough_folder = plans[1].folder
    killed: list[int] = []
    display = Told()
    works = [Killed(Task("one", plan)) for plan in plans]
    with LocalExecutor(jobs=1) as executor:
        for work in works:
            drive(work, executor, display=display)
    records = [work.outcomes[0].record for work in works]
    assert killed, works[1].outcomes
    assert killed[0] < 43
    assert len(display.lines) == 1
    assert "ended by SIGKILL; it resumes from its checkpoint (retry 1 of 3)" in display.lines[0]
    assert works[1].steps == works[0].steps == list(range(1, 44))
    assert records[0] is not None
    assert records[1] is not None
    assert records[0].status is Status.FINISHED
    for fact in FACTS:
        assert getattr(records[0], fact) == getattr(records[1], fact), fact
    for name in ("weights.safetensors", "per_clip.csv", "events.jsonl"):
        assert (plans[0].folder / name).read_bytes() == (plans[1].folder / name).read_bytes()


@pytest.mark.usefixtures("at_once")
def test_a_child_that_always_dies_is_given_up_with_a_sentence(planned: PlannedRun) -> None:
    """Catches: a run that dies for ever and is started for ever."""
    work, display = Noted(Task("doomed", planned)), Told()
    executor = Scripted(-9, -9, -11, words="last")
    drive(work, executor, display=display, max_retries=2)
    (outcome,) = work.outcomes
    assert executor.started == 3
    assert len(display.lines) == 2
    assert outcome.record is None
    assert outcome.exit_code == -11
    assert outcome.error == (
        "doomed was ended by SIGSEGV after 2 retries, with no record: last "
        f"(log: {planned.folder / 'run.log'})"
    )


@pytest.mark.usefixtures("at_once")
def test_a_run_whose_store_failed_is_tried_again_and_says_why(planned: PlannedRun) -> None:
    """Catches: results that are not in the store, given up at once or told as a lost node."""
    work, display = Noted(Task("unsent", planned)), Told()
    drive(work, Scripted(UNGATHERED, 64, words="no bucket"), display=display, max_retries=2)
    assert display.lines == [
        "unsent was ended by its store (no bucket); it resumes from its checkpoint (retry 1 of 2)"
    ]


@pytest.mark.usefixtures("at_once")
def test_a_held_run_is_waited_for_without_counting_as_a_retry(
    planned: PlannedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a run given up because its dying process still holds it, or waited for for ever."""
    work, display = Noted(Task("held", planned)), Told()
    executor = Scripted(75, 75, 75, -9, 64, words="somebody holds it")
    drive(work, executor, display=display, max_retries=1)
    assert executor.started == 5
    assert display.lines[0] == "held waits: somebody holds it"
    assert work.outcomes[0].exit_code == 64

    monkeypatch.setattr(schedule, "_HELD_S", 0.0)
    work = Noted(Task("held", planned))
    drive(work, Scripted(*[75] * 9, words="somebody holds it"), display=Told())
    error = work.outcomes[0].error
    assert error is not None
    assert "held ended with exit code 75 and no record: somebody holds it" in error


@pytest.mark.usefixtures("at_once")
def test_steps_are_handed_on_once_and_in_order_when_a_log_is_rewritten(
    planned: PlannedRun,
) -> None:
    """Catches: a study told twice of a validation loss, or never, after a resume."""
    log = planned.folder / "events.jsonl"

    class Growing(Noted):
        ticks = 0

        def tick(self) -> None:
            self.ticks += 1
            if self.ticks == 1:
                log.write_text(step_line(1) + step_line(2) + step_line(3)[:20])
            elif self.ticks == 2:
                log.write_text(step_line(1) + step_line(2) + step_line(3))
            elif self.ticks == 3:
                other = log.with_name("other")
                other.write_text("".join(step_line(n) for n in (1, 2, 3, 4)) + "no step\n")
                other.replace(log)
            elif self.ticks == 4:
                with log.open("a") as file:
                    file.write(step_line(5))
            else:
                job.code = 1

    class Going(_Ended):
        code = None  # type: ignore[assignment]

        def __init__(self, task: Task) -> None:
            self.task, self.words = task, ""

    work = Growing(Task("one", planned))
    job = Going(work.waiting[0])
    executor = Scripted()
    executor.start = lambda task: job  # type: ignore[method-assign]
    drive(work, executor, display=Display())
    assert work.steps == [1, 2, 3, 4, 5]


def test_a_task_that_is_told_to_stop_leaves_a_checkpoint_and_no_error(
    small_request: MakeRequest,
) -> None:
    """Catches: a pruned trial that is retried, or told of as a failure."""

    class Pruning(Noted):
        def on_steps(self, task: Task, steps: Sequence[StepReport]) -> bool:
            super().on_steps(task, steps)
            return False

    planned = plan_run(small_request("stage1.steps=500", seed=62), display=Display())
    work = Pruning(Task("pruned", planned))
    with LocalExecutor(jobs=1) as executor:
        drive(work, executor, display=Display())
    assert work.outcomes == [Outcome(None, 143, None)]
    assert work.steps[-1] < 500
    assert list((planned.folder / "checkpoints").glob("step-*"))


@pytest.mark.usefixtures("at_once")
def test_an_interrupt_stops_every_task_and_waits(planned: PlannedRun) -> None:
    """Catches: children that outlive Ctrl-C, or an end that is told before they have ended."""

    class Stopping(_Ended):
        asked = 0
        polls = 0

        def poll(self) -> int | None:
            self.polls += bool(self.asked)
            return 143 if self.polls > 2 else None

        def stop(self) -> None:
            self.asked += 1

    class Interrupting(Noted):
        def tick(self) -> None:
            signal.raise_signal(signal.SIGINT)

    work = Interrupting(Task("one", planned))
    job = Stopping(work.waiting[0], 0, "")
    executor = Scripted()
    executor.start = lambda task: job  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        drive(work, executor, display=Display())
    assert job.asked
    assert job.poll() == 143
    assert work.outcomes == []


@pytest.mark.usefixtures("at_once")
def test_a_child_without_a_record_is_reported_with_its_last_line(
    planned: PlannedRun, finished: Any
) -> None:
    """Catches: an older failed record taken for what the dead process left."""
    failed = finished.record.model_copy(
        update={
            "status": Status.FAILED,
            "identity": planned.identity,
            "run_id": planned.identity.run_id,
        }
    )
    failed.save(planned.folder)
    executor = Scripted(74, words="harness: no space left")
    with pytest.raises(HarnessError, match="exit code 74 and no record: harness: no space") as end:
        run_all([planned], executor=executor, metric="kid", display=Display())
    assert end.value.exit_code == 74
    # A child that found other code or data than was planned made another run, and made it well.
    with pytest.raises(HarnessError, match="finished, but as a different run from"):
        run_all([planned], executor=Scripted(0), metric="kid", display=Display())


@pytest.mark.usefixtures("at_once")
def test_a_damaged_record_is_refused_and_kept(planned: PlannedRun) -> None:
    """Catches: what may be a finished run's record, deleted as if it were a failed one's."""
    (planned.folder / RECORD).write_text("half a rec")
    with pytest.raises(MismatchError, match="move it away"):
        drive(Noted(Task("one", planned)), Scripted(0), display=Display())
    assert (planned.folder / RECORD).read_text() == "half a rec"


def test_a_run_that_a_process_holds_is_made_once_it_lets_go(
    small_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: exit code 75 of the real child that is not the one that is waited on."""
    monkeypatch.setattr(schedule, "_HELD_PAUSE_S", 0.1)
    planned = plan_run(small_request(seed=63), display=Display())
    holding = held(planned.folder, create=True)
    holding.__enter__()

    class LettingGo(Told):
        def say(self, line: str) -> None:
            super().say(line)
            holding.__exit__(None, None, None)

    work, display = Noted(Task("one", planned)), LettingGo()
    with LocalExecutor(jobs=1) as executor:
        drive(work, executor, display=display, max_retries=0)
    assert len(display.lines) == 1
    assert f"one waits: harness: {planned.folder.name} is being worked on by" in display.lines[0]
    assert work.outcomes[0].record is not None
