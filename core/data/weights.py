"""How much a sample of a rare class counts in the training loss."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from torch import Tensor
from torch import tensor as to_tensor

from core.data.split import Part, Split
from core.errors import DataError, UsageError


class ClassWeighting(StrEnum):
    """Rule by which a class of n training samples is weighted before normalisation."""

    NONE = "none"  # 1
    SQRT = "sqrt"  # sqrt(largest / n)
    INVERSE = "inverse"  # largest / n
    EFFECTIVE = "effective"  # effective number of samples, Cui et al. 2019, eq. 2


@dataclass(frozen=True)
class ClassWeights:
    """The weight table of a split, stored with every run."""

    rule: ClassWeighting
    """How it was made."""
    counts: Mapping[str, int]
    """Training samples of each class; classes in the split's order."""
    relative: Mapping[str, float]
    """Before normalisation: the largest class has 1."""
    weights: Mapping[str, float]
    """What multiplies the loss; its mean over the training samples is 1."""

    def tensor(self) -> Tensor:
        """float32 [num_classes] in the order of the class index."""
        return to_tensor(list(self.weights.values()))


def class_weights(
    split: Split, *, rule: ClassWeighting = ClassWeighting.SQRT, beta: float = 0.999
) -> ClassWeights:
    """Weights over the training part of `split`; see `weights_from_counts`."""
    counts = {name: split.counts[name][Part.TRAIN] for name in split.classes}
    return weights_from_counts(counts, rule=rule, beta=beta)


def weights_from_counts(
    counts: Mapping[str, int], *, rule: ClassWeighting, beta: float = 0.999
) -> ClassWeights:
    """Weights for classes of these sizes.

    beta: of `EFFECTIVE` alone, in [0, 1); nearer 1 weights rare classes more.
    The mean over samples is 1, sum(n * w) = sum(n), so the loss keeps its scale.
    Raises: DataError for an empty class; UsageError for a beta out of range.
    """
    if not counts or min(counts.values()) < 1:
        raise DataError(f"class counts are {dict(counts)}; expected at least one sample a class")
    if not 0.0 <= beta < 1.0:
        raise UsageError(f"beta is {beta}; expected 0 <= beta < 1")
    largest = max(counts.values())

    def weight(count: int) -> float:
        if rule is ClassWeighting.SQRT:
            return (largest / count) ** 0.5
        if rule is ClassWeighting.INVERSE:
            return largest / count
        if rule is ClassWeighting.EFFECTIVE:
            return (1 - beta**largest) / (1 - beta**count)
        return 1.0

    relative = {name: weight(count) for name, count in counts.items()}
    mean = sum(counts[name] * relative[name] for name in counts) / sum(counts.values())
    return ClassWeights(
        rule=rule,
        counts=dict(counts),
        relative=relative,
        weights={name: value / mean for name, value in relative.items()},
    )
