"""How much a sample of a rare class counts in the training loss."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.choices import DEFAULT_BETA
from core.choices import ClassWeighting as ClassWeighting
from core.data.splits.split import Part, Split
from core.errors import DataError, UsageError, suggestion
from core.text import canonical


@dataclass(frozen=True)
class ClassWeights:
    """The weight table of a split, stored with every run."""

    rule: ClassWeighting
    """How it was made."""
    counts: Mapping[str, int]
    """Training samples of each class; classes in the split's order."""
    relative: Mapping[str, float]
    """Before normalisation: the largest class has 1, or what the user gave."""
    weights: Mapping[str, float]
    """What multiplies the loss; its mean over the training samples is 1."""

    def data(self) -> dict[str, Any]:
        """The table as JSON values, for a lock file or a record."""
        return {
            "rule": self.rule.value,
            "counts": dict(self.counts),
            "relative": dict(self.relative),
            "weights": dict(self.weights),
        }


def class_weights(
    split: Split,
    *,
    rule: ClassWeighting = ClassWeighting.SQRT,
    beta: float = DEFAULT_BETA,
    explicit: Mapping[str, float] | None = None,
) -> ClassWeights:
    """Weights over the training part of `split`; see `weights_from_counts`."""
    counts = {name: split.counts[name][Part.TRAIN] for name in split.classes}
    return weights_from_counts(counts, rule=rule, beta=beta, explicit=explicit)


def weights_from_counts(
    counts: Mapping[str, int],
    *,
    rule: ClassWeighting,
    beta: float = DEFAULT_BETA,
    explicit: Mapping[str, float] | None = None,
) -> ClassWeights:
    """Weights for classes of these sizes.

    beta: of `EFFECTIVE` alone, in [0, 1); nearer 1 weights rare classes more.
    explicit: of `EXPLICIT` alone, a positive number for each class and for no other.
    The mean over samples is 1, sum(n * w) = sum(n), so the loss keeps its scale.
    Raises: DataError for an empty class; UsageError for a beta out of range, or explicit weights
    that miss a class, name an unknown one, or are not positive.
    """
    if not counts or min(counts.values()) < 1:
        raise DataError(f"class counts are {dict(counts)}; expected at least one sample per class")
    if not 0.0 <= beta < 1.0:
        raise UsageError(f"beta is {beta}; expected 0 <= beta < 1")
    largest = max(counts.values())
    given = _checked_explicit(explicit or {}, counts=counts, rule=rule)

    def weight(name: str) -> float:
        count = counts[name]
        if rule is ClassWeighting.EXPLICIT:
            return given[name]
        if rule is ClassWeighting.SQRT:
            return float((largest / count) ** 0.5)
        if rule is ClassWeighting.INVERSE:
            return largest / count
        if rule is ClassWeighting.EFFECTIVE:
            return (1 - beta**largest) / (1 - beta**count)
        return 1.0

    relative = {name: weight(name) for name in counts}
    mean = sum(counts[name] * relative[name] for name in counts) / sum(counts.values())
    return ClassWeights(
        rule=rule,
        counts=dict(counts),
        relative=relative,
        weights={name: value / mean for name, value in relative.items()},
    )


def _checked_explicit(
    explicit: Mapping[str, float], *, counts: Mapping[str, int], rule: ClassWeighting
) -> Mapping[str, float]:
    if rule is not ClassWeighting.EXPLICIT:
        if explicit:
            raise UsageError(
                f"explicit weights are given for {', '.join(explicit)}, but the rule is {rule}; "
                "set the rule to explicit, or give no weights"
            )
        return {}
    explicit = {canonical(name): value for name, value in explicit.items()}
    known = ", ".join(counts)
    for name, value in explicit.items():
        if name not in counts:
            raise UsageError(
                f"explicit weights name the class {name!r}; known: {known}"
                f"{suggestion(name, counts)}"
            )
        if not (math.isfinite(value) and value > 0):
            raise UsageError(f"the weight of class {name} is {value}; expected a positive number")
    missing = [name for name in counts if name not in explicit]
    if missing:
        raise UsageError(
            f"explicit weights miss the class {', '.join(missing)}; expected one for each of "
            f"{known}"
        )
    return explicit
