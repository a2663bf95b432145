"""Class weights."""

import math

import pytest

from core.data.splits.make import make_split
from core.data.splits.split import Part
from core.data.splits.weights import ClassWeighting, class_weights, weights_from_counts
from core.errors import DataError, UsageError

BALANCED = {
    "dog_barking": 44, "engine": 100, "fire": 100, "helicopter": 94,
    "ocean_waves": 27, "rain": 100, "siren": 100, "thunder": 99,
}  # fmt: skip


def test_square_root_weights_of_the_664_pairs():
    """Catches: the hand-typed table, or weights relative to the mean class."""
    relative = weights_from_counts(BALANCED, rule=ClassWeighting.SQRT).relative
    assert {name: round(value, 2) for name, value in relative.items()} == {
        "dog_barking": 1.51, "engine": 1.0, "fire": 1.0, "helicopter": 1.03,
        "ocean_waves": 1.92, "rain": 1.0, "siren": 1.0, "thunder": 1.01,
    }  # fmt: skip


COMPUTED = [rule for rule in ClassWeighting if rule is not ClassWeighting.EXPLICIT]


@pytest.mark.parametrize("rule", COMPUTED)
def test_the_mean_over_training_samples_is_one(manifest_of, rule):
    """Catches: a weighting that also changes the scale of the loss, and so the learning rate."""
    split = make_split(manifest_of(BALANCED))
    weights = class_weights(split, rule=rule)
    of_samples = [weights.weights[split.samples[id_].class_name] for id_ in split.train]
    assert math.fsum(of_samples) / len(of_samples) == pytest.approx(1.0, abs=1e-12)


def test_weights_count_the_training_part_alone(manifest_of):
    """Catches: counting the clips that are held out."""
    split = make_split(manifest_of(BALANCED))
    weights = class_weights(split)
    assert weights.counts == {name: split.counts[name][Part.TRAIN] for name in split.classes}
    assert list(weights.weights) == list(split.classes)


def test_rules_by_hand():
    """Catches: two rules exchanged, or Cui's formula upside down."""
    counts = {"a": 4, "b": 1}
    relative = {
        rule: weights_from_counts(counts, rule=rule, beta=0.5).relative for rule in COMPUTED
    }
    assert relative[ClassWeighting.NONE] == {"a": 1.0, "b": 1.0}
    assert relative[ClassWeighting.SQRT] == {"a": 1.0, "b": 2.0}
    assert relative[ClassWeighting.INVERSE] == {"a": 1.0, "b": 4.0}
    # (1 - 0.5^4) / (1 - 0.5) = 1.875 effective samples against 1.
    assert relative[ClassWeighting.EFFECTIVE] == {"a": 1.0, "b": 1.875}
    weights = weights_from_counts(counts, rule=ClassWeighting.SQRT).weights
    assert weights == pytest.approx({"a": 5 / 6, "b": 10 / 6})


def test_impossible_counts_and_betas_are_refused():
    """Catches: a division by zero for an empty class."""
    with pytest.raises(DataError, match="at least one sample"):
        weights_from_counts({"a": 1, "b": 0}, rule=ClassWeighting.SQRT)
    with pytest.raises(UsageError, match="beta is 1"):
        weights_from_counts({"a": 1}, rule=ClassWeighting.EFFECTIVE, beta=1.0)


def test_explicit_weights_keep_their_ratios_and_the_scale_of_the_loss():
    """Catches: typed weights that raise the learning rate, or are silently not used."""
    weights = weights_from_counts(
        {"a": 3, "b": 1}, rule=ClassWeighting.EXPLICIT, explicit={"b": 1.93, "a": 1.0}
    )
    assert weights.relative == {"a": 1.0, "b": 1.93}
    assert weights.weights["b"] / weights.weights["a"] == pytest.approx(1.93)
    assert 3 * weights.weights["a"] + weights.weights["b"] == pytest.approx(4)
    assert weights.data()["rule"] == "explicit"


@pytest.mark.parametrize(
    ("explicit", "sentence"),
    [
        ({"a": 1.0}, "miss the class b"),
        ({"a": 1.0, "b": 1.0, "bb": 2.0}, "name the class 'bb'; known: a, b; did you mean 'b'"),
        ({"a": 1.0, "b": 0.0}, "weight of class b is 0.0"),
        ({"a": 1.0, "b": float("inf")}, "weight of class b is inf"),
    ],
)
def test_explicit_weights_that_do_not_fit_the_classes_are_refused(explicit, sentence):
    """Catches: a class weighted 1 because its name was mistyped."""
    with pytest.raises(UsageError, match=sentence):
        weights_from_counts({"a": 3, "b": 1}, rule=ClassWeighting.EXPLICIT, explicit=explicit)


def test_explicit_weights_under_another_rule_are_refused():
    """Catches: weights in a profile that nothing reads."""
    with pytest.raises(UsageError, match="but the rule is sqrt"):
        weights_from_counts({"a": 1}, rule=ClassWeighting.SQRT, explicit={"a": 2.0})
