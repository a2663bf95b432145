"""Separators: an optional step before CLAP that takes a clip apart into its sources.

A separator is an object of another package, found by its entry point:

    [project.entry-points."branch_harness.separators"]
    hpss = "hpss_separator:SEPARATOR"

`foundation.separator = "hpss"` then sets it before CLAP wherever a clip is encoded for a branch: in
a run, in `harness generate`, `edit` and `probe`. A log-mel stays that of the mixture.

Shape legend: P parts of a clip, S samples.
"""

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.code import code_hash, module_sources
from core.errors import UsageError, suggestion
from core.files import file_sha256, json_sha256

ENTRY_POINT_GROUP = "branch_harness.separators"


@dataclass(frozen=True, kw_only=True)
class Separator:
    """Takes a clip apart into a fixed number of sources."""

    num_sources: int
    """How many it returns of every clip; those that a clip does not have may be silent."""
    separate: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    """Mono 48 kHz float32 [S] to the sources [num_sources, S]. The same clip must always give the
    same sources: they are cached."""
    weights: tuple[Path, ...] = ()
    """Files it reads, which are part of a run's id beside its code."""


@dataclass(frozen=True)
class SeparatorPlugin:
    """A separator and where it comes from."""

    name: str
    separator: Separator
    fingerprint: str
    """Hash of its code, of its weights and of the number of sources."""

    def parts_of(self, waveform_S: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """The clip itself, then its sources.

        Raises:
            UsageError: the separator failed, or its sources are not of the clip's length, or not
                finite.
        """
        asked = (self.separator.num_sources, len(waveform_S))
        try:
            sources_PS = np.asarray(self.separator.separate(waveform_S.copy()), dtype=np.float32)
        except Exception as error:
            raise UsageError(
                f"separator '{self.name}' failed on a clip of {asked[1]} samples: "
                f"{type(error).__name__}: {error}; repair it or unset foundation.separator"
            ) from error
        if sources_PS.shape != asked:
            raise UsageError(
                f"separator '{self.name}' returned {list(sources_PS.shape)} for a clip of "
                f"{asked[1]} samples; expected {list(asked)}: its sources, as long as the clip"
            )
        if not np.isfinite(sources_PS).all():
            raise UsageError(f"separator '{self.name}' returned samples that are not finite")
        return [waveform_S, *sources_PS]


def find_separator(name: str) -> SeparatorPlugin:
    """The separator that an installed package brings under this name.

    Raises:
        UsageError: none has it, two have it, it cannot be imported, or it is not a `Separator`.
    """
    points = {(point.value, point) for point in entry_points(group=ENTRY_POINT_GROUP)}
    known = sorted({point.name for _, point in points})
    found = sorted((value, point) for value, point in points if point.name == name)
    if not found:
        hint = suggestion(name, known) or f"; installed are: {', '.join(known) or 'none'}"
        raise UsageError(f"foundation.separator: no installed package brings '{name}'{hint}")
    if len(found) > 1:
        raise UsageError(
            f"foundation.separator: '{name}' is both {found[0][0]} and {found[1][0]}; "
            "uninstall one of the packages"
        )
    return _loaded(found[0][1])


def num_sources(name: str | None) -> int:
    """How many sources are encoded beside each clip; 0 without a separator."""
    return 0 if name is None else find_separator(name).separator.num_sources


@cache
def _loaded(point: EntryPoint) -> SeparatorPlugin:
    try:
        with redirect_stdout(sys.stderr):  # what it prints is no part of our `--json`
            separator = point.load()
            module = import_module(point.module)
    except (Exception, SystemExit) as error:  # a script without a main guard may exit
        raise UsageError(
            f"separator '{point.name}' ({point.value}) cannot be imported: "
            f"{type(error).__name__}: {error}; repair the package or uninstall it"
        ) from error
    if not isinstance(separator, Separator) or separator.num_sources < 1:
        raise UsageError(
            f"separator '{point.name}': {point.value} is {separator!r}; expected a "
            "core.foundation.separation.Separator of at least one source"
        )
    sources = module_sources(module)
    if sources is None:
        raise UsageError(f"separator '{point.name}': {point.module} has no source file")
    absent = [path for path in separator.weights if not path.is_file()]
    if absent:
        raise UsageError(f"separator '{point.name}': its weights {absent[0]} do not exist")
    return SeparatorPlugin(
        name=point.name,
        separator=separator,
        fingerprint=json_sha256(
            [
                code_hash([sources]),
                separator.num_sources,
                [file_sha256(path) for path in separator.weights],
            ]
        ),
    )
