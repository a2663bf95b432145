"""A/A for real: one branch under two names, trained on the embedded default, and compared.

    python benchmarks/aa_tiny.py [--seeds 8] [--results build/aa_tiny] [--variant baseline]

Writes a plug-in package with two names of one branch, trains both for every seed in this process
(so that libraries load once), and compares them as `harness compare` does. The same branch and
seed would train to the very same weights; the twins therefore start from other first weights,
drawn from a stream that the name shifts. Everything else of a seed (order, timesteps, noise,
the noise of the images) they share, as two different branches would. Prints one JSON object.
"""

import argparse
import itertools
import json
import sys
from pathlib import Path
from typing import Any

from scipy import stats

_NAMES = ("twin_a", "twin_b")
_MODULE = '''"""One branch under another name."""

import torch

from variants.{variant} import VARIANT as _Branch


class Twin(_Branch):
    """`{variant}` from other first weights."""

    name = "{name}"

    def __init__(self, config, *, shapes):
        torch.rand({shift})  # moves the named stream that the first weights are drawn from
        super().__init__(config, shapes=shapes)


VARIANT = Twin
'''
_SHORT = (
    "stage1.steps=40",
    "stage1.warmup_steps=5",
    "stage2.steps=30",
    "stage2.warmup_steps=5",
    "stage3.steps=8",
    "training.micro_batch=8",
    "training.validate_every=100",
    "training.validation_draws=1",
    "training.checkpoint_every=1000",
    "sampling.steps=4",
)
_METRICS = ("listening_rank", "attribute_error", "ais_cos", "clip_score")


def write_plugin(folder: Path, *, variant: str) -> None:
    """A package with one module a twin and the entry points that register them."""
    for shift, name in enumerate(_NAMES, start=1):
        package = folder / name
        package.mkdir(parents=True, exist_ok=True)
        text = _MODULE.format(variant=variant, name=name, shift=shift)
        (package / "__init__.py").write_text(text)
    info = folder / "aa_twins-1.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: aa-twins\nVersion: 1\n")
    points = "".join(f"{name} = {name}:VARIANT\n" for name in _NAMES)
    (info / "entry_points.txt").write_text(f"[branch_harness.variants]\n{points}")


def study(*, num_seeds: int, results: Path, variant: str) -> dict[str, Any]:
    """Train, compare, and ask the naive test about every pair of trainings."""
    from harness.comparison.analysis import analyse
    from harness.comparison.runs import LoadedRun, load_run
    from harness.run.plan import RunRequest
    from harness.run.run import run
    from harness.settings.load import load_profile
    from harness.wording.display import PlainDisplay

    options = load_profile("tiny", overrides=()).variants.get(variant, {})
    settings = [f"variant.{key}={value}" for key, value in options.items()]
    runs: list[LoadedRun] = []
    for seed in range(num_seeds):
        for name in _NAMES:
            request = RunRequest(name, seed=seed, overrides=(*_SHORT, *settings), results=results)
            record = run(request, display=PlainDisplay())
            runs.append(load_run(results / "runs" / record.run_id))
    folder = results / "reports" / "aa_tiny"
    found = {}
    for metric in _METRICS:
        comparison = analyse(runs, metric=metric, folder=folder, command="benchmarks/aa_tiny.py")
        (pair,) = comparison.pairs
        found[metric] = {
            "verdict": comparison.verdict,
            "effect": pair.effect,
            "sd_over_seeds": pair.sd,
            "p": pair.p,
            "sign_flip_p": pair.sign_flip_p,
            "naive": _naive(runs, metric=metric),
        }
    return {"seeds": num_seeds, "variant": variant, "settings": list(_SHORT), "metrics": found}


def _naive(runs: list[Any], *, metric: str) -> dict[str, Any]:
    """The per-image test on each pair of trainings: all are of the same branch."""
    tables = []
    for run in runs:
        rows = run.per_clip
        rows = rows[(rows["metric"] == metric) & (rows["arm"] == "audio")]
        tables.append(rows.groupby("sample_id")["value"].mean())
    ps = []
    for one, other in itertools.combinations(tables, 2):
        difference = (one - other).dropna()
        ps.append(float(stats.ttest_1samp(difference, 0).pvalue))
    means = [float(table.mean()) for table in tables]
    images = [float(table.var(ddof=1)) for table in tables]
    return {
        "pairs_of_trainings": len(ps),
        "called_different": sum(p <= 0.05 for p in ps),
        "variance_between_trainings": float(stats.tvar(means)),
        "variance_between_images": sum(images) / len(images),
    }


def main() -> None:
    """Run the study from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--variant", default="baseline")
    parser.add_argument("--results", type=Path, default=Path("build/aa_tiny"))
    options = parser.parse_args()
    plugin = options.results / "plugin"
    write_plugin(plugin, variant=options.variant)
    sys.path.insert(0, str(plugin.resolve()))
    found = study(num_seeds=options.seeds, results=options.results, variant=options.variant)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
