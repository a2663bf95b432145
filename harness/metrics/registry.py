"""Every metric by name: those of the families here and those of other packages.

Records, tables and reports read this; none of them knows a metric by itself.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from core.code import code_hash
from core.errors import UsageError, suggestion
from harness.metrics import (
    agreement,
    attributes,
    distance,
    diversity,
    listening,
    pairing,
    sources,
    text,
)
from harness.metrics.extractor import Extractor
from harness.metrics.fit import LOSS, VALIDATION_LOSS
from harness.metrics.metric import Absent, ClipMetric, Level, Metric, Role, SetMetric
from harness.metrics.plugins import found_plugins
from harness.records.parts import ForeignMetric

METRICS: Mapping[str, ClipMetric | SetMetric] = {
    declared.name: declared
    for family in (
        listening,
        attributes,
        sources,
        agreement,
        pairing,
        text,
        distance,
        diversity,
    )
    for declared in family.METRICS
}
"""The metrics of this package, the headline first."""
HEADLINE = next(iter(METRICS.values()))
"""What a run is known by in lists."""
_RECORDED = ("role", "extractor", "higher_is_better", "unit", "definition", "reading")


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


def foreign_metrics() -> dict[str, ForeignMetric]:
    """What a record holds of the metrics of other packages, by name."""
    found = found_plugins(frozenset(METRICS))
    return {
        name: ForeignMetric(
            module=plugin.module,
            distribution=plugin.distribution,
            code_hash=code_hash([plugin.sources]),
            level=found.metrics[name].level.value,
            part_definition=getattr(found.metrics[name], "part_definition", ""),
            **{key: getattr(found.metrics[name], key) for key in _RECORDED},
        )
        for name, plugin in found.origins.items()
    }


def foreign_sources() -> list[Path]:
    """Code of the metrics of other packages: it decides a run's numbers as the code here does."""
    return found_plugins(frozenset(METRICS)).sources


def metric(name: str, *, recorded: Mapping[str, ForeignMetric] | None = None) -> Metric:
    """The declaration of a metric, also of a part (`attribute_error.pitch`) and `validation_loss`.

    recorded: what records hold of other packages' metrics; one that is not installed here is read
        by it.

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
    if recorded is not None and whole in recorded:
        return _as_recorded(name, recorded[whole])
    broken = found_plugins(frozenset(METRICS)).broken
    raise UsageError(
        f"no metric named '{name}'; known: {', '.join(known)}{suggestion(name, known)}"
        + "".join(f"; {sentence}" for sentence in broken)
    )


def _as_recorded(name: str, facts: ForeignMetric) -> ClipMetric | SetMetric:
    """A metric that can be read about and not computed."""

    def compute(_: object) -> Absent:
        return Absent(f"{facts.distribution or facts.module} is not installed here")

    kind = ClipMetric if facts.level == Level.CLIP else SetMetric
    _, _, part = name.partition(".")
    return kind(
        name=name,
        compute=compute,
        higher_is_better=facts.higher_is_better,
        role=Role(facts.role),
        extractor=Extractor(facts.extractor),
        unit=facts.unit,
        definition=facts.part_definition.format(part=part) if part else facts.definition,
        reading=facts.reading,
    )


def part_of(whole: ClipMetric, part: str) -> ClipMetric:
    """The declaration of a part, such as `attribute_error.pitch`."""
    return replace(
        whole,
        name=f"{whole.name}.{part}",
        parts=None,
        chance=None,
        chance_on=None,
        part_chance_on=None,
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
