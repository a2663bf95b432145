"""Makes the numbers of one run: each with what is needed to compare it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.metrics.decidable import rank_caution
from harness.metrics.metric import Metric, SetScore
from harness.metrics.scorers.scorers import Scorers
from harness.records.parts import MetricValue

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ValueMaker:
    """Fills in what all values of a run share."""

    scorers: Scorers
    """Whose names and hashes a value carries."""
    split_hash: str | None
    """Hash of the split."""

    def blank(self, declared: Metric, *, arm: str, reason: str) -> MetricValue:
        """A value that could not be had."""
        return self._make(declared, None, n=0, arm=arm, reason=reason, is_rankable=False)

    def of_clips(
        self, declared: Metric, values: Array, *, arm: str, chance: float | None
    ) -> MetricValue:
        """The mean over clips; a clip whose value is NaN is left out."""
        defined = values[~np.isnan(values)]
        n = len(defined)
        if not n:
            return self.blank(declared, arm=arm, reason="undefined for every clip of this arm")
        error = float(defined.std(ddof=1) / np.sqrt(n)) if n > 1 else None
        return self._make(
            declared, float(defined.mean()), n=n, arm=arm, standard_error=error, chance=chance
        )

    def of_set(self, declared: Metric, score: SetScore, *, arm: str) -> MetricValue:
        """The score of an arm's images together."""
        caution = rank_caution(declared, n=min(score.n, score.num_real))
        return self._make(
            declared,
            score.value,
            n=score.n,
            arm=arm,
            standard_error=score.error,
            is_rankable=caution is None,
            caution=caution,
        )

    def _make(
        self,
        declared: Metric,
        value: float | None,
        *,
        n: int,
        arm: str,
        standard_error: float | None = None,
        chance: float | None = None,
        is_rankable: bool = True,
        caution: str | None = None,
        reason: str | None = None,
    ) -> MetricValue:
        extractor, extractor_hash = self.scorers.extractor(declared.extractor) or (None, None)
        return MetricValue(
            metric=declared.name,
            arm=arm,
            value=value,
            n=n,
            higher_is_better=declared.higher_is_better,
            extractor=extractor,
            extractor_hash=extractor_hash,
            split_hash=self.split_hash,
            standard_error=standard_error,
            chance=chance,
            is_rankable=is_rankable,
            caution=caution,
            reason=reason,
        )
