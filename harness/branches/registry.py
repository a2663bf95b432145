"""The variants there are: folders under `variants/` and entry points of other packages."""

import pkgutil
import signal
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import variants
from core.code import module_sources
from core.conditioning.config import VariantConfig
from core.errors import StoppedBySignal, UsageError, suggestion

if TYPE_CHECKING:
    from core.conditioning.variant import Variant

ENTRY_POINT_GROUP = "branch_harness.variants"


@dataclass(frozen=True)
class Registration:
    """Where a variant comes from: `module` holds (or re-exports) the class under `attribute`."""

    name: str
    module: str
    attribute: str
    rival: str | None = None
    """Another module that registers the same name, so that nobody knows which is meant."""

    @property
    def is_built_in(self) -> bool:
        """Whether it is a folder under `variants/` rather than another package's."""
        return self.module.split(".")[0] == variants.__name__

    def load_config(self) -> type[VariantConfig]:
        """The class of the variant's settings.

        A package that sets `CONFIG` beside `VARIANT` says it without the variant's modules, and so
        without torch (`core.conditioning.on_demand`); of any other the variant is imported.

        Raises:
            UsageError: as `load`.
        """
        config = self._light_config(self._import())
        return self.load().Config if config is None else config

    def load(self) -> "type[Variant]":
        """Import the variant's class.

        Raises:
            UsageError: it cannot be imported or is not a variant, with its own error; or two have
                its name.

        What a module does to the whole process, such as `os._exit`, nothing here can catch.
        """
        from core.conditioning.variant import Variant  # torch

        module = self._import()
        try:
            with redirect_stdout(sys.stderr):
                loaded = getattr(module, self.attribute)
        except BaseException as error:  # a package may import its class by now alone
            if _is_stop(error):
                raise
            raise self._broken(error) from error
        if not (isinstance(loaded, type) and issubclass(loaded, Variant)):
            raise UsageError(
                f"variant '{self.name}': {self.module}.{self.attribute} is {loaded!r}; expected a "
                "subclass of core.conditioning.variant.Variant"
            )
        if loaded.name != self.name:
            raise UsageError(
                f"variant registered as '{self.name}' calls itself '{loaded.name}'; the folder or "
                "entry point and the class attribute `name` must agree"
            )
        config = self._light_config(module)
        if config is not None and config is not loaded.Config:
            raise UsageError(
                f"variant '{self.name}': {self.module}.CONFIG is {config.__name__}, but the "
                f"settings of {loaded.__name__} are {loaded.Config.__name__}; set CONFIG to these"
            )
        return loaded

    def _light_config(self, module: ModuleType) -> type[VariantConfig] | None:
        found = module.__dict__.get("CONFIG") if self.attribute == "VARIANT" else None
        is_config = isinstance(found, type) and issubclass(found, VariantConfig)
        return found if is_config else None

    def _import(self) -> ModuleType:
        self._require_one()
        try:
            with redirect_stdout(sys.stderr):  # what it prints is no part of our `--json`
                return import_module(self.module)
        except BaseException as error:  # a script without a main guard may exit
            if _is_stop(error):
                raise
            raise self._broken(error) from error

    def _broken(self, error: BaseException) -> UsageError:
        return UsageError(
            f"variant '{self.name}' ({self.module}) cannot be imported: "
            f"{type(error).__name__}: {error}"
        )

    @property
    def sources(self) -> Path:
        """What identifies the variant's code: its package's folder, or its one file.

        Raises:
            UsageError: it cannot be imported, or two have its name.
        """
        module = self._import()
        sources = module_sources(module)
        if sources is None:
            raise UsageError(f"variant '{self.name}': {self.module} has no source file")
        return sources

    def _require_one(self) -> None:
        if self.rival is not None:
            raise UsageError(
                f"two variants are named '{self.name}': {self.module} and {self.rival}; rename one"
            )


def _is_stop(error: BaseException) -> bool:
    """Whether the user or the system ends the process, and not the plug-in itself."""
    if isinstance(error, KeyboardInterrupt):  # ours is turned into an exit where we handle it
        return signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return isinstance(error, StoppedBySignal)


def registrations() -> dict[str, Registration]:
    """Every variant by name, none imported; of two with one name the first, which loads never."""
    found: dict[str, Registration] = {}
    for registration in (*_folders(), *_entry_points()):
        first = found.setdefault(registration.name, registration)
        if first is not registration:
            found[registration.name] = replace(first, rival=registration.module)
    return dict(sorted(found.items()))


def find_variant(name: str) -> Registration:
    """The registration of `name`.

    Raises:
        UsageError: no such variant.
    """
    known = registrations()
    if name not in known:
        raise UsageError(
            f"no variant named '{name}'; known: {', '.join(known)}{suggestion(name, known)}"
        )
    return known[name]


def variants_folder() -> Path:
    """The folder whose sub-folders are built-in variants."""
    return Path(next(iter(variants.__path__))).resolve()


def _folders() -> Iterator[Registration]:
    for module in pkgutil.iter_modules(variants.__path__):
        if module.ispkg:
            yield Registration(module.name, f"variants.{module.name}", "VARIANT")


def _entry_points() -> Iterator[Registration]:
    for point in entry_points(group=ENTRY_POINT_GROUP):
        yield Registration(point.name, point.module, point.attr or "VARIANT")
