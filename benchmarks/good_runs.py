"""Whether the guards raise a false alarm: a hundred short runs in which nothing is wrong.

Every branch and control, and `baseline`, `sonic` and `cutting_edge` with every adapter of the UNet
(`harness list --adapters`), train on `tiny`'s models over a small corpus, ten steps of each stage,
so that each stage is judged, and each is sampled and scored on the test clips. Counted: runs that
end `finished`, and the sentence of each that does not.
"""

import argparse
import json
import platform
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path

from core.choices import UnetAdapterKind
from core.conditioning.tuner_kinds import REFUSED
from core.embedded.corpus.folder import write_corpus
from core.errors import HarnessError
from harness.run.plan import RunRequest
from harness.run.run import run
from harness.wording.display import Display

BRANCHES = ("baseline", "sonic", "cutting_edge")
CONTROLS = ("text_only", "class_embedding")
OVERRIDES = (
    *(f"stage{number}.steps=10" for number in (1, 2, 3)),
    *(f"stage{number}.warmup_steps=0" for number in (1, 2)),
    "training.micro_batch=2",
    "training.accumulation=2",
    "training.validate_every=10",
    "training.validation_draws=1",
    "sampling.steps=2",
)
NUM_RUNS = 100
NOT_USABLE = (UnetAdapterKind.FROD, UnetAdapterKind.ADAMSS)
"""Refused by name with a UNet of several widths, and without scikit-learn."""


def requests(data: Path, results: Path) -> list[RunRequest]:
    """The runs: all that there is once, then seeds of the branches until there are enough."""
    words = {"data": str(data), "results": results}
    made = [RunRequest(variant=v, overrides=OVERRIDES, **words) for v in BRANCHES + CONTROLS]
    kinds = sorted(set(UnetAdapterKind) - set(REFUSED) - set(NOT_USABLE) - {UnetAdapterKind.NONE})
    for kind, branch in zip(kinds, cycle(BRANCHES), strict=False):
        own = (*OVERRIDES, f"variant.adapt={kind.value}")
        made.append(RunRequest(variant=branch, seed=1, overrides=own, **words))
    for seed, branch in zip(range(2, 2 * NUM_RUNS), cycle(BRANCHES + CONTROLS), strict=False):
        if len(made) == NUM_RUNS:
            return made
        made.append(RunRequest(variant=branch, seed=seed, overrides=OVERRIDES, **words))
    raise AssertionError("too few runs")


def main() -> None:
    """Run and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    words = parser.parse_args()
    began, refused, guards = time.process_time(), {}, Counter()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "media"
        write_corpus(data, counts={"fire": 16, "siren": 6, "thunder": 6})
        wanted = requests(data, Path(folder) / "results")
        for number, request in enumerate(wanted, start=1):
            name = f"{request.variant} seed {request.seed} {request.overrides[-1]}"
            try:
                record = run(request, display=Display())
                guards.update(set(record.guards_passed))
            except HarnessError as error:
                refused[name] = str(error)
            print(number, name, refused.get(name, "finished"), flush=True)
    content = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "settings": list(OVERRIDES),
        "runs": len(wanted),
        "finished": len(wanted) - len(refused),
        "refused": refused,
        "passed_each_guard": dict(sorted(guards.items())),
        "cpu_seconds": round(time.process_time() - began),
    }
    words.out.write_text(json.dumps(content, indent=2) + "\n")
    print(json.dumps(content, indent=2))


if __name__ == "__main__":
    main()
