"""Every reader of files of our own, as a bad disk, an editor or another version leaves them."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.archive.read import check_archive, listed_hashes
from harness.archive.write import Member, write_archive
from harness.comparison.record import load_comparison
from harness.comparison.runs import load_run
from harness.costs.cards import load_cards
from harness.records.events import EventLog, EventTail, last_steps
from harness.records.journals import FailureJournal, OpeningJournal
from harness.records.progress import read_progress
from harness.records.sessions import SessionJournal, new_session
from harness.report.comparison.facts import ReportRun
from harness.settings.branch_config import load_run_config
from harness.settings.load import load_profile
from harness.sweep.record import load_sweep
from harness.votes.answers import read_votes
from harness.votes.plan import load_plan
from harness.watch.reading import Records, run_status
from tests.fuzzing import SEED, changed_bytes, changed_text, fuzz, fuzz_at_length
from tests.harness.report.comparison.conftest import write_comparison, write_results

Readers = dict[str, tuple[list[bytes], Callable[..., bytes], Callable[[bytes], Any]]]


@pytest.fixture
def readers(tmp_path: Path) -> Readers:
    """By name: valid files, how they are changed, and what reads one."""
    results = write_results(tmp_path / "results", seeds=1)
    comparison = write_comparison(results)
    run = results.runs[0]
    kept = {path: path.read_bytes() for path in run.iterdir() if path.is_file()}

    def in_run(name: str, read: Callable[[], Any]) -> Callable[[bytes], None]:
        """Reads the run with one of its files changed."""

        def changed(content: bytes) -> None:
            (run / name).write_bytes(content)
            try:
                read()
            finally:
                if run / name in kept:
                    (run / name).write_bytes(kept[run / name])
                else:
                    (run / name).unlink(missing_ok=True)

        return changed

    def file(name: str, read: Callable[[Path], Any]) -> Callable[[bytes], None]:
        def written(content: bytes) -> None:
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
            read(path)

        return written

    def of_run(name: str) -> list[bytes]:
        return [kept[run / name]]

    write_archive(tmp_path / "a.tar", members=[Member("a", b"x" * 700), Member("b/c", b"y")])
    sessions = SessionJournal(tmp_path / "sessions")
    sessions.begin(new_session(command="harness run", device="cpu"))
    toml = b'variant = "sonic"\nprofile = "tiny"\n[settings]\nnum_tokens = 4\n'
    profile = b'extends = "tiny"\n[training]\nmicro_batch = 2\n[stage1]\nsteps = 3\n'
    cards = b'[cards."RTX 9"]\nmemory_gb = 9\nbf16_tflops = 1.0\nfp32_tflops = 1.0\n'
    votes = {"format": 1, "comparison": "c", "plan": "p", "listener": "l", "answers": [
        {"trial": "t", "choice": "a", "seconds": 1.0, "plays": [1, 1]}]}  # fmt: skip
    progress = {"phase": "training", "done": 3, "total": 9, "at": 1.0, "stage": "stage1"}

    def keep_three_steps(path: Path) -> None:
        with EventLog(path) as log:
            log.keep_up_to(3)

    def read_journals() -> None:
        OpeningJournal(run).count  # noqa: B018
        FailureJournal(run).count  # noqa: B018

    return {
        "record": (of_run("record.json"), changed_text,
                   in_run("record.json", lambda: load_run(run))),
        "status": (of_run("record.json"), changed_text,
                   in_run("record.json", lambda: run_status(run, records=Records()))),
        "per clip": (of_run("per_clip.csv"), changed_bytes,
                     in_run("per_clip.csv", lambda: load_run(run).per_clip)),
        "nearest": (of_run("nearest_training.csv"), changed_bytes,
                    in_run("nearest_training.csv", lambda: ReportRun(load_run(run)).nearest)),
        "contributions": (of_run("per_clip.csv"), changed_bytes,
                          in_run("distance_contributions.csv",
                                 lambda: load_run(run).contributions)),
        "events": (of_run("events.jsonl"), changed_bytes,
                   in_run("events.jsonl", lambda: ReportRun(load_run(run)).events)),
        "events of a resumed run": (of_run("events.jsonl"), changed_bytes,
                                    file("e.jsonl", keep_three_steps)),
        "tail of events": (of_run("events.jsonl"), changed_bytes,
                           file("t.jsonl", lambda p: (EventTail(p).new_steps(), last_steps(p)))),
        "openings": ([b'{"at": "x", "pid": 1}\n' * 3], changed_bytes,
                     in_run("test_openings.jsonl", read_journals)),
        "sessions": ([(tmp_path / "sessions").read_bytes()], changed_text,
                     file("s", lambda p: SessionJournal(p).sessions)),
        "progress": ([json.dumps(progress).encode()], changed_text, file("p", read_progress)),
        "comparison": ([(comparison / "comparison.json").read_bytes()], changed_text,
                       file("c.json", load_comparison)),
        "sweep": ([b'{"name": "x", "branches": []}'], changed_text,
                  file("sweep/sweep.json", lambda p: load_sweep(p.parent))),
        "votes": ([json.dumps(votes).encode()], changed_text, file("v.json", read_votes)),
        "plan of votes": ([json.dumps(votes).encode()], changed_text, file("q.json", load_plan)),
        "branch config": ([toml], changed_bytes, file("b.toml", load_run_config)),
        "profile": ([profile], changed_bytes, file("p.toml", lambda p: load_profile(str(p)))),
        "cards": ([cards, b"cards = 3\n", b"cards = [1]\n"], changed_bytes,
                  file("k.toml", load_cards)),
        "archive": ([(tmp_path / "a.tar").read_bytes()], changed_bytes,
                    file("x.tar", lambda p: (listed_hashes(p), check_archive(p)))),
    }  # fmt: skip


def test_no_reader_of_ours_ends_in_a_traceback(readers: Readers) -> None:
    """Catches: an error of a parser, a wrong kind or a division by zero that reaches the user."""
    tried = fuzz(readers, seconds=0, rng=random.Random(SEED), min_inputs=40)
    assert min(tried.inputs.values()) >= 40


@pytest.mark.faults
@pytest.mark.timeout(7200)
def test_no_reader_of_ours_ends_in_a_traceback_at_length(readers: Readers) -> None:
    """Catches: the same, where it takes many tries."""
    fuzz_at_length(readers)
