"""Metrics of other packages, found by their entry points; a broken one harms no other.

    [project.entry-points."branch_harness.metrics"]
    my_metrics = "my_package.metrics:METRICS"

The object is one metric or a list of them.
"""

import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from core.code import module_sources
from core.errors import UsageError
from harness.metrics.metric import ClipMetric, SetMetric

ENTRY_POINT_GROUP = "branch_harness.metrics"


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """Where metrics come from: `module` holds them under `attribute`."""

    name: str
    module: str
    attribute: str
    distribution: str
    """Package and version as installed; empty where unknown."""

    def load(self) -> tuple[ClipMetric | SetMetric, ...]:
        """Import the metrics.

        Raises: UsageError where they cannot be imported or are not metrics, with their own error.
        """
        try:
            with redirect_stdout(sys.stderr):  # what it prints is no part of our `--json`
                loaded = getattr(import_module(self.module), self.attribute)
        except (Exception, SystemExit) as error:  # a script without a main guard may exit
            raise UsageError(
                f"metrics '{self.name}' ({self.module}) cannot be imported: "
                f"{type(error).__name__}: {error}; repair the package or uninstall it"
            ) from error
        metrics = tuple(loaded) if isinstance(loaded, list | tuple) else (loaded,)
        wrong = [item for item in metrics if not isinstance(item, ClipMetric | SetMetric)]
        if wrong or not metrics:
            shown = repr(wrong[0]) if wrong else "empty"
            raise UsageError(
                f"metrics '{self.name}': {self.module}.{self.attribute} is {shown}; expected a "
                "ClipMetric or SetMetric of harness.metrics.metric, or a list of them"
            )
        return metrics

    @property
    def sources(self) -> Path:
        """What identifies the code: the package's folder, or its one file.

        Raises: UsageError for a module without a source file.
        """
        module = import_module(self.module)
        sources = module_sources(module)
        if sources is None:
            raise UsageError(f"metrics '{self.name}': {self.module} has no source file")
        return sources


@dataclass(frozen=True)
class FoundPlugins:
    """What the installed packages bring."""

    metrics: dict[str, ClipMetric | SetMetric] = field(default_factory=dict)
    """By name."""
    origins: dict[str, Plugin] = field(default_factory=dict)
    """Where each metric comes from, by its name."""
    broken: list[str] = field(default_factory=list)
    """A sentence for each entry point that brings nothing."""

    @property
    def sources(self) -> list[Path]:
        """Code of all metrics, each place once, in the order of the entry points' names."""
        return list(dict.fromkeys(plugin.sources for plugin in self.origins.values()))


def found_plugins(taken: frozenset[str]) -> FoundPlugins:
    """The metrics of other packages. taken: names that they may not have."""
    return _found(taken, tuple(sys.path))


@cache
def _found(taken: frozenset[str], _path: tuple[str, ...]) -> FoundPlugins:
    found = FoundPlugins()
    for plugin in sorted(_plugins(entry_points(group=ENTRY_POINT_GROUP)), key=_order):
        try:
            metrics = plugin.load()
            _require_free_names(plugin, metrics, taken=taken, origins=found.origins)
        except UsageError as error:
            found.broken.append(str(error))
            continue
        for metric in metrics:
            found.metrics[metric.name] = metric
            found.origins[metric.name] = plugin
    return found


def _plugins(points: Iterable[EntryPoint]) -> Iterable[Plugin]:
    for point in points:
        of = point.dist
        distribution = f"{of.name} {of.version}" if of is not None else ""
        yield Plugin(
            name=point.name,
            module=point.module,
            attribute=point.attr or "METRICS",
            distribution=distribution,
        )


def _order(plugin: Plugin) -> tuple[str, str]:
    return plugin.name, plugin.module


def _require_free_names(
    plugin: Plugin,
    metrics: Iterable[ClipMetric | SetMetric],
    *,
    taken: frozenset[str],
    origins: dict[str, Plugin],
) -> None:
    seen = {*taken, "validation_loss"}
    for metric in metrics:
        if metric.name in origins:
            raise UsageError(
                f"two metrics are named '{metric.name}': of {origins[metric.name].module} and "
                f"{plugin.module}; rename one"
            )
        if metric.name in seen:
            raise UsageError(
                f"metrics '{plugin.name}' ({plugin.module}): the name '{metric.name}' is taken; "
                "rename the metric"
            )
        if not metric.name.isidentifier():
            raise UsageError(
                f"metrics '{plugin.name}' ({plugin.module}): '{metric.name}' cannot name a metric; "
                "use letters, digits and underscores"
            )
        seen.add(metric.name)
