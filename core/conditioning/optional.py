"""Settings that are read under some choices alone, and how to leave them unset in TOML."""

from typing import Any

from pydantic import BeforeValidator

# TOML has no null, so "none" stands for it.
NONE_BY_NAME = BeforeValidator(lambda value: None if value == "none" else value)


def refuse_set(settings: Any, *names: str, reason: str) -> None:
    """Refuse a setting that the other choices leave unread.

    Raises:
        ValueError: one of the fields has a value.
    """
    for name in names:
        if getattr(settings, name) is not None:
            raise ValueError(f"{name} is not read {reason}; remove it or set it to none")
