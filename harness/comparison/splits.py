"""What other splits say: the same question on other test clips, and how much the split decides.

A comparison speaks of one split. Where the same branches were compared with equal settings on
others (`--set data.split_seed=1`), the spread of the difference over splits stands beside what
trainings and clips of a single split explain of it (Bouthillier et al. 2021).
"""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, variance
from typing import Any

from core.errors import HarnessError
from core.files import json_sha256
from harness.comparison.pair_result import PairResult
from harness.comparison.record import ComparisonRecord, load_comparison
from harness.records.folders import ResultsFolder
from harness.wording.numbers import count, listed, plain

_START = "Other splits: "


@dataclass(frozen=True)
class SplitShare:
    """One pair's difference on several splits."""

    first: str
    """Branch the difference is taken from."""
    second: str
    """Branch that is subtracted."""
    effects: Mapping[int, float]
    """By seed of the split, the mean difference."""
    wins: Mapping[int, str | None]
    """By seed of the split, the branch that won there."""
    sd: float
    """Standard deviation of these over splits."""
    explained_sd: float | None
    """What trainings and clips of one split explain of it; None with one seed, or a metric without
    values of single clips."""
    share: float | None
    """Share of the variance over splits that they leave to the split itself; 0 where none."""

    @property
    def mean(self) -> float:
        """Mean difference over splits."""
        return fmean(self.effects.values())

    @property
    def sentence(self) -> str:
        """All of it in words."""
        effects = listed(f"{effect:+.3g}" for effect in self.effects.values())
        seeds = listed(str(seed) for seed in self.effects)
        same = sum((effect > 0) == (self.mean > 0) for effect in self.effects.values())
        won = {name: list(self.wins.values()).count(name) for name in (self.first, self.second)}
        wins = listed(f"{plain(name)} wins on {num}" for name, num in won.items() if num) or (
            "neither wins on any"
        )
        explained = (
            "how much of that trainings and clips of one split explain is not known: it takes two "
            "seeds and a metric of single clips, on which the difference varies"
        )
        if self.explained_sd is not None and self.share is not None:
            explained = (
                f"trainings and clips of one split explain {self.explained_sd:.2g}, so the split "
                f"itself has about {self.share:.0%} of the variance. That share is rough with few "
                "splits, and splits share clips"
            )
        return (
            f"on {count(len(self.effects), 'split')} (data.split_seed {seeds}), "
            f"{plain(self.first)} minus {plain(self.second)} is {effects}: mean {self.mean:+.3g}, "
            f"the same side on {same}, and {wins}. Its sd over splits is {self.sd:.2g}; {explained}"
        )


def split_shares(records: Sequence[ComparisonRecord]) -> list[SplitShare]:
    """Each pair's spread over splits, by comparisons of one question on different splits.

    By the method of moments: the variance over splits less the mean variance of a single split's
    difference for other trainings and clips. Pairs that some comparison lacks are left out.
    """
    found = []
    for pair in records[0].pairs:
        own = {_split_seed(r): _pair_of(r, pair.first, pair.second) for r in records}
        there = {seed: one for seed, one in own.items() if one is not None}
        if len(there) < 2 or len(there) < len(records):
            continue
        effects = {seed: one.effect for seed, one in sorted(there.items())}
        total = variance(effects.values())
        squares = [_error_square(one) for one in there.values()]
        known = [square for square in squares if square is not None]
        within = fmean(known) if len(known) == len(squares) else None
        found.append(
            SplitShare(
                first=pair.first,
                second=pair.second,
                effects=effects,
                wins={seed: one.winner for seed, one in sorted(there.items())},
                sd=math.sqrt(total),
                explained_sd=None if within is None else math.sqrt(within),
                share=None if within is None else _left(within, of=total),
            )
        )
    return found


def with_other_splits(record: ComparisonRecord, *, results: Path) -> ComparisonRecord:
    """The comparison with a notice for each pair, by it and those of the same question on other
    splits below `results`, the newest of each split; itself where nothing changes."""
    records = {_split_seed(record): record}
    key = _key(record)
    others = []
    for path in ResultsFolder(results).comparisons:
        try:
            others.append(load_comparison(path))
        except HarnessError:
            continue  # of another format, or damaged: whoever opens it is told
    for other in sorted(others, key=lambda found: found.created_at, reverse=True):
        if other.eligibility.split_hash != record.eligibility.split_hash and _key(other) == key:
            records.setdefault(_split_seed(other), other)
    shares = split_shares(list(records.values())) if len(records) > 1 else []
    # First, like all that does not follow from the comparison's own runs: a bundle of it takes
    # them as given.
    notices = [f"{_START}{share.sentence}" for share in shares]
    notices += [text for text in record.notices if not text.startswith(_START)]
    return record if notices == record.notices else record.model_copy(update={"notices": notices})


def _left(within: float, *, of: float) -> float:
    return max(0.0, 1 - within / of) if of > 0 else 0.0


def _key(record: ComparisonRecord) -> str:
    """What comparisons of one question on several splits have in common."""
    settings: dict[str, Any] = copy.deepcopy(dict(record.eligibility.settings))
    settings.get("data", {}).pop("split_seed", None)
    return json_sha256(
        [record.metric, sorted(record.branches), settings, record.eligibility.variant_config]
    )


def _split_seed(record: ComparisonRecord) -> int:
    return int(record.eligibility.settings.get("data", {}).get("split_seed", 0))


def _pair_of(record: ComparisonRecord, first: str, second: str) -> PairResult | None:
    return next((p for p in record.pairs if (p.first, p.second) == (first, second)), None)


def _error_square(pair: PairResult) -> float | None:
    """Variance of the mean difference for other trainings and clips; None without clips."""
    parts, clips = pair.variance, pair.other_clips
    if parts is None or clips is None:
        return None
    return (
        parts.seeds / pair.n
        + parts.clips / clips.num_clips
        + parts.rest / (pair.n * clips.num_clips)
    )
