"""Packages of others that a command's runs are computed by: branches, separators and metrics."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import (
    Distribution,
    EntryPoint,
    PackageNotFoundError,
    distributions,
    entry_points,
)
from pathlib import Path

from core.code import module_sources
from core.errors import UsageError
from core.foundation import separators
from harness.archive.write import Member
from harness.branches import registry
from harness.metrics import plugins as metrics
from harness.metrics.registry import computed_metrics
from harness.pack.command import Command
from harness.pack.contents import PackedPlugin
from harness.pack.distribution import Carried, canonical_name, carried
from harness.pack.source import DISTRIBUTION
from harness.settings.load import load_profile

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Plugins:
    """What goes along of them."""

    facts: tuple[PackedPlugin, ...] = ()
    """What the pack says of each."""
    members: tuple[Member, ...] = ()
    """Their files."""
    notices: tuple[str, ...] = ()
    """What has to be there besides."""


def packed_plugins(
    *, branches: Iterable[str], commands: Sequence[Command], separators_used: Iterable[str] = ()
) -> Plugins:
    """The packages that bring these branches, the commands' separators, and every metric.

    Metrics are of every run: all that are installed are computed, and are part of its identity.

    separators_used: those of half-finished runs.

    Raises:
        UsageError, MismatchError, DataError: one that cannot be had or cannot go along, by name.
    """
    computed_metrics()  # a package whose metrics cannot be had is refused in its own words
    found: dict[str, _Found] = {}
    for point, what in [
        *_branch_points(branches),
        *_separator_points(commands, separators_used),
        *((point, f"metrics {point.name}") for point in _points(metrics.ENTRY_POINT_GROUP)),
    ]:
        if point.dist is None:
            raise UsageError(f"no installed package says that it brings {what} ({point.value})")
        name = canonical_name(point.dist)
        found.setdefault(name, _Found(_as_installed(point.dist), [], [])).add(point, what)
    for name, of, distribution in _required_from_here(found):
        found.setdefault(name, _Found(distribution, [], [f"required by {of}"]))
    facts: list[PackedPlugin] = []
    members: list[Member] = []
    for name, plugin in sorted(found.items()):
        held = carried(plugin.distribution)
        plugin.require_inside(held)
        members += held.members
        facts.append(
            PackedPlugin(
                name=name,
                version=plugin.distribution.version,
                brings=sorted(plugin.brings),
                install=list(held.install),
                num_files=len(held.members),
            )
        )
    names = sorted(set(_separators(commands, separators_used)))
    return Plugins(tuple(facts), tuple(members), tuple(_weights_notices(names, members)))


@dataclass
class _Found:
    """A package and what of it is used."""

    distribution: Distribution
    points: list[EntryPoint]
    brings: list[str]

    def add(self, point: EntryPoint, what: str) -> None:
        if what not in self.brings:
            self.points.append(point)
            self.brings.append(what)

    def require_inside(self, held: Carried) -> None:
        """Refuse a package whose code would stay here.

        Raises:
            UsageError: a module of it lies outside what goes along.
        """
        if held.folder is None:
            return
        going = {
            member.source.resolve() for member in held.members if isinstance(member.source, Path)
        }
        for point in self.points:
            sources = module_sources(import_module(point.module))
            if sources is None:
                raise UsageError(f"{point.module} of {self.distribution.name} has no source file")
            for path in [sources] if sources.is_file() else sorted(sources.rglob("*.py")):
                if path.resolve() not in going:
                    raise UsageError(
                        f"{path} is code of {self.distribution.name} but would not go along: of "
                        f"{held.folder} everything goes but hidden names, caches, environments, "
                        "build and dist; move it or rename its folder"
                    )


def _as_installed(found: Distribution) -> Distribution:
    """What pip wrote of a package, where its source folder, with what a build left, comes first."""
    named = distributions(name=found.name)
    return next((own for own in named if own.read_text("RECORD") is not None), found)


def _points(group: str) -> list[EntryPoint]:
    return sorted(entry_points(group=group), key=lambda point: (point.name, point.value))


def _branch_points(names: Iterable[str]) -> Iterator[tuple[EntryPoint, str]]:
    for name in dict.fromkeys(names):
        found = registry.find_variant(name)
        if found.is_built_in:
            continue
        found.load_config()  # refuses one that two packages bring, or that cannot be imported
        for point in _points(registry.ENTRY_POINT_GROUP):
            if point.name == name:
                yield point, f"branch {name}"


def _separators(commands: Sequence[Command], used: Iterable[str]) -> Iterator[str]:
    yield from used
    for command in commands:
        profile = load_profile(command.profile, overrides=command.overrides)
        if profile.foundation.separator is not None:
            yield profile.foundation.separator


def _separator_points(
    commands: Sequence[Command], used: Iterable[str]
) -> Iterator[tuple[EntryPoint, str]]:
    for name in dict.fromkeys(_separators(commands, used)):
        separators.find_separator(name)
        for point in _points(separators.ENTRY_POINT_GROUP):
            if point.name == name:
                yield point, f"separator {name}"


def _required_from_here(found: dict[str, _Found]) -> list[tuple[str, str, Distribution]]:
    """Packages that these require and that were installed from a folder or a file of this machine.

    What an index has, pip finds there; of a package that only this machine has, it could find
    another's of the same name.
    """
    required = []
    seen = {DISTRIBUTION, *found}
    queue = [(name, plugin.distribution) for name, plugin in found.items()]
    while queue:
        of, distribution = queue.pop()
        for line in distribution.requires or []:
            match = _NAME.match(line)
            if match is None or "extra ==" in line.replace("'", '"'):
                continue
            try:
                wanted = Distribution.from_name(match.group())
            except PackageNotFoundError:
                continue
            name = canonical_name(wanted)
            if name in seen:
                continue
            seen.add(name)
            queue.append((name, wanted))
            if '"file://' in (wanted.read_text("direct_url.json") or ""):
                required.append((name, of, wanted))
    return required


def _weights_notices(names: Iterable[str], members: Sequence[Member]) -> Iterator[str]:
    going = {member.source.resolve() for member in members if isinstance(member.source, Path)}
    for name in names:
        for path in separators.find_separator(name).separator.weights:
            if path.resolve() not in going:
                yield f"the weights of separator {name}, {path}, have to be there at the same path"
