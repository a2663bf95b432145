"""A variant's package that is known before its modules are: settings load without torch."""

from collections.abc import Callable
from importlib import import_module
from typing import Any


def variant_on_demand(package: str, *, of: str) -> Callable[[str], Any]:
    """The `__getattr__` of `package`: its `VARIANT` is imported when it is asked for.

    of: the class, as `module:Class`. Beside it the package sets `CONFIG` to the class of the
    variant's settings, which is all that planning a run reads.
    """
    module, _, name = of.partition(":")

    def find(attribute: str) -> Any:
        if attribute != "VARIANT":
            raise AttributeError(f"module {package!r} has no attribute {attribute!r}")
        return getattr(import_module(module), name)

    return find
