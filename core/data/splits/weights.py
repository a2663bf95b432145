"""How much a sample of a rare class counts in the training loss."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from core.choices import DEFAULT_BETA
from core.choices import ClassWeighting as ClassWeighting
from core.data.items import DataKind, Sample
from core.data.splits.split import Part, Split
from core.errors import DataError, UsageError, suggestion
from core.text import canonical


@dataclass(frozen=True)
class ClassWeights:
    """The weight table of a split, stored with every run."""

    rule: ClassWeighting
    """How it was made."""
    counts: Mapping[str, int]
    """Training samples of each class or label; classes in the split's order."""
    relative: Mapping[str, float]
    """Before normalisation: the largest class has 1, or what the user gave."""
    weights: Mapping[str, float]
    """What multiplies the loss; its mean over the training samples is 1."""

    def of(self, sample: Sample) -> float:
        """What multiplies the loss of one clip: of its class, or the mean of its labels'."""
        known = [self.weights[label] for label in sample.labels if label in self.weights]
        if known:
            return sum(known) / len(known)
        return self.weights[sample.class_name] if not sample.labels else 1.0

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
    """Weights over the training part of `split`; see `weights_from_counts`.

    With several labels a clip each label has a weight, of those that are trained; a clip's is the
    mean of its labels', and the mean over clips is 1. Captions alone have none: every clip counts
    the same, whatever `rule` says. Raises: as `weights_from_counts`, and UsageError for explicit
    weights of captions alone.
    """
    if split.kind is DataKind.CAPTIONS:
        if rule is ClassWeighting.EXPLICIT:
            raise UsageError(
                "explicit weights name classes, but the data have captions alone; take another rule"
            )
        rule = ClassWeighting.NONE
    if split.kind is DataKind.LABELS:
        return _label_weights(split, rule=rule, beta=beta, explicit=explicit)
    counts = {name: split.counts[name][Part.TRAIN] for name in split.classes}
    if split.kind is DataKind.CAPTIONS:
        counts = {name: count for name, count in counts.items() if count}
    return weights_from_counts(counts, rule=rule, beta=beta, explicit=explicit)


def _label_weights(
    split: Split, *, rule: ClassWeighting, beta: float, explicit: Mapping[str, float] | None
) -> ClassWeights:
    counts = {n: row[Part.TRAIN] for n, row in split.label_counts.items() if row[Part.TRAIN]}
    of_labels = weights_from_counts(counts, rule=rule, beta=beta, explicit=explicit)
    relative = replace(of_labels, weights=of_labels.relative)
    total = sum(relative.of(split.samples[id_]) for id_ in split.train)
    scale = len(split.train) / total
    return replace(of_labels, weights={n: w * scale for n, w in of_labels.relative.items()})


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
