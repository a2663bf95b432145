"""What an earlier comparison of these branches says of where the variance lies."""

import math
from collections.abc import Sequence
from pathlib import Path

from core.errors import HarnessError
from harness.comparison.pair_result import PairResult
from harness.comparison.record import ComparisonRecord, load_comparison
from harness.records.folders import ResultsFolder
from harness.wording.numbers import count, listed


def variance_sentence(results: Path, *, metric: str, variants: Sequence[str], profile: str) -> str:
    """Where the widest of these branches' differences varied, and what would narrow it most.

    By the newest comparison below `results` on this metric and profile; blank without one.
    """
    found = _newest(results, metric=metric, variants=variants, profile=profile)
    if found is None:
        return ""
    record, pair = found
    parts = pair.variance
    assert parts is not None
    clips = "" if pair.other_clips is None else f", {count(pair.other_clips.num_clips, 'clip')}"
    widths = {
        "seeds": parts.twice_the_seeds,
        "clips": parts.twice_the_clips,
        "images per clip": parts.twice_the_images,
    }
    doubled = listed(f"{name} to {width:.3g}" for name, width in widths.items())
    return (
        f"By reports/{record.name} ({count(pair.n, 'seed')}{clips}), {pair.first} minus "
        f"{pair.second} on {metric} varies with sd {math.sqrt(parts.seeds):.3g} between trainings, "
        f"{math.sqrt(parts.clips):.3g} between clips and {math.sqrt(parts.rest):.3g} within both. "
        f"Its interval for other trainings and clips is expected to be {parts.half_width:.3g} "
        f"either way; doubling would bring it, of {doubled}, so more {parts.best} narrow it most."
    )


def _newest(
    results: Path, *, metric: str, variants: Sequence[str], profile: str
) -> tuple[ComparisonRecord, PairResult] | None:
    """The comparison, and of its pairs of these branches the one with the widest interval."""
    candidates = []
    for path in ResultsFolder(results).comparisons:
        try:
            record = load_comparison(path)
        except HarnessError:
            continue  # of another format, or damaged: whoever opens it is told
        if (record.metric, record.profile) != (metric, profile):
            continue
        widths = [
            (pair.variance.half_width, index)
            for index, pair in enumerate(record.pairs)
            if pair.variance is not None and {pair.first, pair.second} <= set(variants)
        ]
        if widths:
            candidates.append((record.created_at, record, record.pairs[max(widths)[1]]))
    if not candidates:
        return None
    _, record, pair = max(candidates, key=lambda candidate: candidate[0])
    return record, pair
