"""How far each run is, from its record or from what its process writes while it goes on."""

import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.errors import DataError
from core.training.results import StepReport
from harness.metrics.registry import HEADLINE
from harness.records.events import last_steps
from harness.records.folders import RECORD, RunFolder
from harness.records.processes import Session
from harness.records.progress import Progress, read_progress
from harness.records.record import RunRecord, Status, load_record
from harness.records.sessions import End, SessionJournal
from harness.watch.presence import STUCK_AFTER_S, Presence, age_s, presence_of_run
from harness.watch.state import RunStatus, State
from harness.wording.numbers import duration


class Records:
    """Records, each read again only when its file has changed."""

    def __init__(self) -> None:
        self._held: dict[Path, tuple[tuple[int, int], RunRecord | str]] = {}

    def of(self, folder: Path) -> RunRecord | str | None:
        """The record in a run's folder; why it cannot be read; None where there is none."""
        path = folder / RECORD
        try:
            found = path.stat()
        except OSError:
            return None
        stamp = (found.st_mtime_ns, found.st_size)
        if path not in self._held or self._held[path][0] != stamp:
            try:
                self._held[path] = (stamp, load_record(path))
            except DataError as error:
                self._held[path] = (stamp, str(error))
        return self._held[path][1]


def run_status(folder: Path, *, records: Records) -> RunStatus:
    """How far the run in a folder is."""
    presence = presence_of_run(folder)
    record = records.of(folder)
    # A failed run that is tried again has its old record until the new one is written.
    if record is None or presence.state is State.RUNNING:
        found = _open_run(folder, presence)
        is_paused = found.state is State.INTERRUPTED and found.note.startswith(End.PAUSED.value)
        return replace(found, state=State.PAUSED) if is_paused else found
    if isinstance(record, str):
        return RunStatus(folder.name, State.UNREADABLE, folder=str(folder), note=record)
    return _ended_run(folder, record)


def _ended_run(folder: Path, record: RunRecord) -> RunStatus:
    is_failed = record.status is Status.FAILED
    sessions = record.cost.sessions
    seconds = [session.seconds for session in sessions if session.seconds is not None]
    stages = record.stages
    return RunStatus(
        record.run_id,
        State.FAILED if is_failed else State.FINISHED,
        folder=str(folder),
        variant=record.identity.variant,
        seed=record.identity.seed,
        profile=record.identity.profile,
        score=record.identity.score.value,
        note=record.error or "",
        stage=stages[-1].stage if stages else None,
        step=record.steps_done,
        total_steps=sum(stage.steps_planned for stage in stages),
        loss=stages[-1].last_loss if stages else None,
        validation_loss=stages[-1].validation_loss if stages else None,
        gates=_ends(stages[-1].gates) if stages else None,
        device=record.cost.device,
        seconds=sum(seconds) if seconds else record.total_seconds or None,
        dollars=record.cost.dollars,
        num_sessions=len(sessions),
        started_at=sessions[0].started_at if sessions else record.started_at,
        finished_at=record.finished_at,
        value=record.value(HEADLINE.name),
    )


def _open_run(folder: Path, presence: Presence) -> RunStatus:
    files = RunFolder(folder)
    identity = _identity(files.identity)
    sessions = SessionJournal(files.sessions).sessions
    progress = read_progress(files.progress)
    steps = last_steps(files.events)
    is_running = presence.state is State.RUNNING
    last = steps[-1] if steps else None
    validation = [s.validation_loss for s in steps if s.validation_loss is not None]
    current = progress if progress is not None and _is_of(progress, sessions) else None
    seconds = _seconds_so_far(sessions, current)
    device = sessions[-1].device if sessions else None
    left, left_of = _left(current, last) if is_running else (None, None)
    return RunStatus(
        folder.name,
        presence.state,
        folder=str(folder),
        variant=str(identity.get("variant", "")),
        seed=identity.get("seed"),
        profile=str(identity.get("profile", "")),
        score=str(identity.get("score", "test")),
        note=_note(presence, sessions, current),
        stage=None if last is None else last.stage,
        phase=_phase(current, last),
        done=_done(current, last),
        total=_total(current, last),
        step=None if last is None else last.global_step,
        total_steps=_total_steps(current, last),
        rate=current.rate if current is not None and is_running else None,
        seconds_left=left,
        left_of=left_of,
        loss=None if last is None else last.loss,
        validation_loss=validation[-1] if validation else None,
        gates=None if last is None else _ends(dict(last.gates)),
        device=device,
        host=presence.host or (sessions[-1].host if sessions else None),
        seconds=seconds,
        dollars=_dollars_so_far(sessions, current),
        num_sessions=len(sessions),
        started_at=sessions[0].started_at if sessions else None,
        last_sign_s=age_s(files.progress, files.events),
        stuck_s=_stuck_s(current) if is_running else None,
    )


def _identity(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _ends(gates: dict[str, float]) -> tuple[float, float] | None:
    return (min(gates.values()), max(gates.values())) if gates else None


def _is_of(progress: Progress, sessions: list[Session]) -> bool:
    return bool(sessions) and progress.session == sessions[-1].session


def _phase(progress: Progress | None, last: StepReport | None) -> str | None:
    if progress is not None:
        return progress.phase
    return None if last is None else last.stage


def _done(progress: Progress | None, last: StepReport | None) -> int | None:
    if progress is not None:
        # The log of steps is written first.
        is_stage = last is not None and last.stage == progress.phase
        return last.step if is_stage and last is not None else progress.done
    return None if last is None else last.step


def _total(progress: Progress | None, last: StepReport | None) -> int | None:
    if progress is not None:
        return progress.total
    return None if last is None else last.stage_steps


def _total_steps(progress: Progress | None, last: StepReport | None) -> int | None:
    if last is not None:
        return last.total_steps
    return None if progress is None else progress.total_steps


def _left(progress: Progress | None, last: StepReport | None) -> tuple[float | None, str | None]:
    """Seconds left of training, or of the phase that goes on."""
    if progress is None or progress.rate is None:
        return None, None
    since = max(0.0, time.time() - progress.at)
    if last is not None and last.stage == progress.phase:
        left = (last.total_steps - last.global_step) / progress.rate
        return max(0.0, left - since), "training"
    return max(0.0, (progress.total - progress.done) / progress.rate - since), progress.phase


def _seconds_so_far(sessions: list[Session], progress: Progress | None) -> float | None:
    if not sessions:
        return None
    return sum(_seconds_of(session, progress) for session in sessions)


def _seconds_of(session: Session, progress: Progress | None) -> float:
    if session.seconds is not None:
        return session.seconds
    if progress is None or progress.session != session.session:
        return 0.0
    return max(0.0, progress.at - datetime.fromisoformat(session.started_at).timestamp())


def _dollars_so_far(sessions: list[Session], progress: Progress | None) -> float | None:
    if not sessions or any(session.price_per_hour is None for session in sessions):
        return None
    return sum(
        (session.price_per_hour or 0.0) * _seconds_of(session, progress) / 3_600
        for session in sessions
    )


def _note(presence: Presence, sessions: list[Session], progress: Progress | None) -> str:
    if presence.note:
        return presence.note
    if presence.state is State.RUNNING:
        stuck = _stuck_s(progress) or 0.0
        return f"nothing has advanced for {duration(stuck)}" if stuck > STUCK_AFTER_S else ""
    if sessions and sessions[-1].how is not None:
        at = sessions[-1].ended_at or ""
        return f"{sessions[-1].how} {_clock(at)}".strip()
    return ""


def _stuck_s(progress: Progress | None) -> float | None:
    return None if progress is None else max(0.0, time.time() - progress.advanced_at)


def _clock(at: str) -> str:
    """A UTC time as date and time of day."""
    try:
        return datetime.fromisoformat(at).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    except ValueError:
        return ""
