"""Every metric by name: those of the families here and those of other packages.

Records, tables and reports read this; none of them knows a metric by itself.
"""

from collections.abc import Mapping
from dataclasses import replace

from core.errors import UsageError, suggestion
from harness.metrics import agreement, attributes, distance, diversity, listening, text
from harness.metrics.fit import LOSS, VALIDATION_LOSS
from harness.metrics.metric import ClipMetric, Metric, SetMetric
from harness.metrics.plugins import found_plugins

METRICS: Mapping[str, ClipMetric | SetMetric] = {
    declared.name: declared
    for family in (listening, attributes, agreement, text, distance, diversity)
    for declared in family.METRICS
}
"""The metrics of this package, the headline first."""


def known_metrics() -> dict[str, ClipMetric | SetMetric]:
    """Every metric that can be read about; those of a broken package are left out."""
    return {**METRICS, **found_plugins(frozenset(METRICS)).metrics}


def computed_metrics() -> dict[str, ClipMetric | SetMetric]:
    """Every metric that a run computes.

    Raises: UsageError where an installed package's metrics cannot be had: a run without them would
        look whole.
    """
    found = found_plugins(frozenset(METRICS))
    if found.broken:
        raise UsageError("; ".join(found.broken))
    return {**METRICS, **found.metrics}


def metric(name: str) -> Metric:
    """The declaration of a metric, also of a part (`attribute_error.pitch`) and `validation_loss`.

    Raises: UsageError for a name that is not a metric.
    """
    if name in METRICS:
        return METRICS[name]
    if name == VALIDATION_LOSS:
        return LOSS
    known = known_metrics()
    if name in known:
        return known[name]
    whole, _, part = name.partition(".")
    declared = known.get(whole)
    if isinstance(declared, ClipMetric) and declared.parts is not None and part:
        return part_of(declared, part)
    broken = found_plugins(frozenset(METRICS)).broken
    raise UsageError(
        f"no metric named '{name}'; known: {', '.join(known)}{suggestion(name, known)}"
        + "".join(f"; {sentence}" for sentence in broken)
    )


def part_of(whole: ClipMetric, part: str) -> ClipMetric:
    """The declaration of a part, such as `attribute_error.pitch`."""
    return replace(
        whole,
        name=f"{whole.name}.{part}",
        parts=None,
        chance=None,
        chance_on=None,
        definition=whole.part_definition.format(part=part) or f"{part} of {whole.name}",
    )


def deciding_metric(name: str) -> Metric:
    """The same of a metric that a comparison may rest on.

    Raises: UsageError for the validation loss too, whatever its name promises.
    """
    if name == VALIDATION_LOSS:
        raise UsageError(
            f"{VALIDATION_LOSS} compares no branches: it is of the validation clips and chooses "
            f"settings; known: {', '.join(known_metrics())}"
        )
    return metric(name)
