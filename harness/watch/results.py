"""Everything in a results folder: its runs, comparisons and sweeps, and how far each is."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from core.errors import DataError
from harness.comparison.matrix import Matrix, load_matrix
from harness.comparison.record import ComparisonRecord, load_comparison
from harness.records.folders import ReportFolder, ResultsFolder, RunFolder, SweepFolder
from harness.records.processes import Session
from harness.records.sessions import SessionJournal, utc
from harness.sweep.record import SweepRecord, TrialState, load_sweep
from harness.watch.presence import Presence, presence_of_sessions
from harness.watch.reading import Records, run_status
from harness.watch.state import (
    ComparisonStatus,
    RunStatus,
    Snapshot,
    State,
    SweepStatus,
)

_RANK = list(State)


class Watcher:
    """Reads a results folder again and again; a record that has not changed is read once."""

    def __init__(self, results: Path) -> None:
        self._results = ResultsFolder(results)
        self._records = Records()

    def snapshot(self) -> Snapshot:
        """Everything as it is now: what goes on first, then the newest."""
        below = self._results
        runs = {
            folder: run_status(folder, records=self._records)
            for folder in [*below.run_folders, *below.trial_folders]
        }
        comparisons = [self._comparison(folder, runs) for folder in below.comparison_folders]
        sweeps = [self._sweep(path.parent, runs) for path in below.sweep_records]
        return Snapshot(
            at=utc(),
            results=str(below.path),
            comparisons=sorted(comparisons, key=lambda one: _RANK.index(one.state)),
            sweeps=sorted(sweeps, key=lambda one: _RANK.index(one.state)),
            runs=_ordered(list(runs.values())),
        )

    def run(self, folder: Path) -> RunStatus:
        """One run."""
        return run_status(folder, records=self._records)

    def comparison(self, folder: Path) -> ComparisonStatus:
        """One comparison."""
        return self._comparison(folder, {})

    def sweep(self, folder: Path) -> SweepStatus:
        """One sweep."""
        return self._sweep(folder, {})

    def _known(self, folder: Path, runs: dict[Path, RunStatus]) -> RunStatus:
        if folder not in runs:
            runs[folder] = run_status(folder, records=self._records)
        return runs[folder]

    # Comparisons -------------------------------------------------------------------------

    def _comparison(self, folder: Path, runs: dict[Path, RunStatus]) -> ComparisonStatus:
        files = ReportFolder(folder)
        try:
            matrix = load_matrix(folder) if files.matrix.is_file() else None
            record = load_comparison(folder) if files.comparison.is_file() else None
        except DataError as error:
            return ComparisonStatus(folder.name, State.UNREADABLE, str(error))
        sessions = SessionJournal(files.sessions).sessions
        if matrix is None:
            return self._concluded(folder, record, runs)
        own = [self._of_matrix(matrix, number, runs) for number in range(len(matrix.runs))]
        signs = [_sign_of(run) for run in own if run.folder]
        presence = presence_of_sessions(sessions, signs=signs)
        state = _state(presence, sessions, is_made=record is not None)
        return ComparisonStatus(
            folder.name,
            state,
            note=_note(presence, sessions, state=state),
            runs=own,
            seconds_left=seconds_left(own) if state is State.RUNNING else None,
            verdict=None if record is None else record.verdict,
            command=matrix.command,
        )

    def _of_matrix(self, matrix: Matrix, number: int, runs: dict[Path, RunStatus]) -> RunStatus:
        wanted = matrix.runs[number]
        folder = self._results.run(wanted.run_id).path
        if not any(path.is_file() for path in _starts(folder)):
            return RunStatus(wanted.run_id, State.WAITING, variant=wanted.variant, seed=wanted.seed)
        return self._known(folder, runs)

    def _concluded(
        self, folder: Path, record: ComparisonRecord | None, runs: dict[Path, RunStatus]
    ) -> ComparisonStatus:
        """A comparison of runs that there were, or of a time before matrices were written down."""
        if record is None:
            return ComparisonStatus(folder.name, State.UNREADABLE, "its matrix.json is gone")
        folders = [record.run_folder(run, folder=folder) for run in record.runs]
        return ComparisonStatus(
            folder.name,
            State.FINISHED,
            runs=[self._known(found, runs) for found in folders if found.is_dir()],
            verdict=record.verdict,
            command=record.command,
        )

    # Sweeps ------------------------------------------------------------------------------

    def _sweep(self, folder: Path, runs: dict[Path, RunStatus]) -> SweepStatus:
        try:
            record = load_sweep(folder)
        except DataError as error:
            return SweepStatus(folder.name, State.UNREADABLE, str(error))
        trials = [trial for branch in record.branches for trial in branch.trials]
        going = [
            self._known(self._results.trial(trial.run_id).path, runs)
            for trial in trials
            if trial.state is TrialState.RUNNING and trial.run_id is not None
        ]
        going = [run for run in going if run.state in (State.RUNNING, State.SILENT)]
        files = SweepFolder(folder)
        sessions = SessionJournal(files.sessions).sessions
        signs = [files.record, *(_sign_of(run) for run in going)]
        counted = {
            branch.variant: (
                sum(trial.state.counts for trial in branch.trials),
                record.num_trials,
            )
            for branch in record.branches
        }
        presence = presence_of_sessions(sessions, signs=signs)
        is_made = all(done >= asked for done, asked in counted.values())
        state = _state(presence, sessions, is_made=is_made)
        own_ids = [trial.run_id for trial in trials if trial.run_id is not None]
        spent = [self._known(self._results.trial(run_id).path, runs).dollars for run_id in own_ids]
        return SweepStatus(
            folder.name,
            state,
            note=_note(presence, sessions, state=state),
            branches=counted,
            trials=going,
            trial_ids=own_ids,
            seconds_left=_sweep_left(record, going) if state is State.RUNNING else None,
            dollars=sum(d for d in spent if d is not None) if any(spent) else None,
            command=record.command,
        )


def _starts(folder: Path) -> list[Path]:
    """What there is of a run once a process has begun it."""
    files = RunFolder(folder)
    return [files.identity, files.record, files.holder]


def _sign_of(run: RunStatus) -> Path:
    """The file of a run that changes while somebody works on it."""
    files = RunFolder(Path(run.folder))
    return files.progress if files.progress.is_file() else files.events


def _note(presence: Presence, sessions: Sequence[Session], *, state: State) -> str:
    """How its state is known, or what its last process failed of."""
    if state is State.FINISHED:
        return ""
    failure = sessions[-1].error if sessions and state is State.FAILED else None
    return failure or presence.note


def _state(presence: Presence, sessions: Sequence[Session], *, is_made: bool) -> State:
    if presence.state is not State.INTERRUPTED:
        return presence.state
    how = sessions[-1].how if sessions else None
    if how in ("failed", "cancelled"):
        return State.FAILED
    if how == "paused":
        return State.PAUSED
    if is_made and how in (None, "finished") and not (sessions and how is None):
        return State.FINISHED
    return State.INTERRUPTED


def seconds_left(runs: Sequence[RunStatus]) -> float | None:
    """Seconds until the last run of a matrix ends, with as many at a time as go on now.

    From what the finished ones of the same branch took; where a branch has none yet, what its
    running one has taken and has left of training, or of the phase after it. None where not even
    that is known.
    """
    at_a_time = max(1, sum(run.state is State.RUNNING for run in runs))
    total = 0.0
    for run in runs:
        if not run.is_open:
            continue
        whole = _whole_seconds(run.variant, runs)
        if whole is None:
            return None
        spent = run.seconds or 0.0
        total += max(whole - spent, run.seconds_left or 0.0)
    return total / at_a_time


def _whole_seconds(variant: str, runs: Sequence[RunStatus]) -> float | None:
    """What one run of a branch takes."""
    own = [run for run in runs if run.variant == variant]
    ended = [r.seconds for r in own if r.state is State.FINISHED and r.seconds is not None]
    if ended:
        return sum(ended) / len(ended)
    going = [
        run.seconds + run.seconds_left
        for run in own
        if run.seconds is not None and run.seconds_left is not None and run.step is not None
    ]
    return max(going) if going else None


def _sweep_left(record: SweepRecord, going: Sequence[RunStatus]) -> float | None:
    trials = [trial for branch in record.branches for trial in branch.trials]
    known = [_between(t.started_at, t.finished_at) for t in trials if t.state.counts]
    seconds = [value for value in known if value is not None]
    if not seconds:
        return None
    counted = sum(trial.state.counts for trial in trials)
    missing = max(0, record.num_trials * len(record.branches) - counted)
    return missing * sum(seconds) / len(seconds) / max(1, len(going))


def _between(start: str | None, end: str | None) -> float | None:
    if start is None or end is None:
        return None
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def _ordered(runs: list[RunStatus]) -> list[RunStatus]:
    """What goes on first; of each state the newest first."""
    newest = sorted(runs, key=lambda run: run.finished_at or run.started_at or "", reverse=True)
    return sorted(newest, key=lambda run: _RANK.index(run.state))
