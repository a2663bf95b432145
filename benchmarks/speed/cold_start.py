"""What each command that reads costs from a cold start: CPU seconds of a process of its own.

The folder holds one run trained by the harness on a few clips of the embedded corpus, for as few
steps as there can be, and what the commands before leave of caches, as in a folder in use.
`python -c pass` is what Python itself takes.
"""

import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.speed.table import Row
from benchmarks.speed.timing import child, say

SETTINGS = (
    *(f"stage{k}.steps=1" for k in (1, 2, 3)),
    *(f"stage{k}.warmup_steps=0" for k in (1, 2)),
    "training.micro_batch=2",
    "training.accumulation=1",
    "sampling.steps=1",
)
MAX_READING_S = 2.0
"""Of a command that answers from what is on disk; a wish of ours, not a measured limit."""
UNBOUND = {"python -c pass", "harness report RUN"}
"""Without that wish: a report draws its page anew."""
HARNESS = [sys.executable, "-m", "harness"]


def rows(*, pairs: int) -> list[Row]:
    """A row for each command."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        commands = _commands(folder)
        found = []
        for said, words in commands.items():
            say(f"cold start: {said}")
            child(words, COLUMNS="120")  # bytecode, and caches of counted parameters
            costs = [child(words, COLUMNS="120") for _ in range(pairs)]
            seconds = [cost.cpu_s for cost in costs]
            found.append(
                Row(
                    f"cold start: {said}",
                    statistics.median(seconds),
                    "CPU s",
                    MAX_READING_S if said not in UNBOUND else None,
                    is_floor=False,
                    spread=(min(seconds), max(seconds)),
                    about=__doc__ or "",
                    numbers={"cpu_s": seconds},
                )
            )
        return found


def _commands(folder: Path) -> dict[str, list[str]]:
    """By what is printed of it, each command line; makes the folder that they read."""
    from core.embedded.corpus.folder import write_corpus

    pairs, data, results = folder / "pairs", folder / "data", folder / "results"
    write_corpus(pairs, counts={"fire": 16, "siren": 5, "thunder": 5}, spoilt=False)
    here = ["--results", str(results)]
    run = [*HARNESS, "run", "--variant", "baseline", "--data", str(pairs), *here]
    for item in SETTINGS:
        run += ["--set", item]
    say("cold start: training the run that is read")
    child(run)
    child([*HARNESS, "data", "ingest", str(pairs), "--out", str(data)])
    run_id = next((results / "runs").iterdir()).name
    commands = {
        "harness --help": ["--help"],
        "harness run --help": ["run", "--help"],
        "harness list": ["list"],
        "harness list --runs": ["list", "--runs", *here],
        "harness show RUN": ["show", run_id, *here],
        "harness status": ["status", *here],
        "harness diff RUN RUN": ["diff", run_id, run_id, *here],
        "harness data show": ["data", "show", str(data)],
        "harness plan": ["plan", "--profile", "sd15", "--seeds", "6"],
        "harness weights": ["weights"],
        "harness report RUN": ["report", run_id, *here],
        "harness run, of a finished run": run[len(HARNESS) :],
    }
    named = {said: [*HARNESS, *words] for said, words in commands.items()}
    return {"python -c pass": [sys.executable, "-c", "pass"], **named}
