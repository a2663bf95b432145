"""Settings from a profile, with `--set` items on top, and every mistake told in one sentence."""

import copy
import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from core.errors import UsageError, suggestion
from core.text import read_text
from harness.settings.coercion import coerced
from harness.settings.profile import Profile

Model = TypeVar("Model", bound=BaseModel)


def profile_names() -> list[str]:
    """Names of the profiles shipped with the package."""
    folder = files("harness.settings") / "profiles"
    return sorted(
        entry.name.removesuffix(".toml")
        for entry in folder.iterdir()
        if entry.name.endswith(".toml")
    )


def load_profile(
    name: str,
    *,
    overrides: Sequence[str] = (),
    variant: str | None = None,
    variants: Mapping[str, Mapping[str, Any]] | None = None,
) -> Profile:
    """The profile `name` (a shipped one, or a path to a TOML file) with `--set` items on top.

    variants: settings of branches, by name, on top of the profile's and below `overrides`.
    overrides: `a.b=value` items; the value is read as TOML, or as text where that fails.
    A key that starts with `variant.` goes to the settings of `variant`.

    Raises:
        UsageError: no such profile, a malformed item, an unknown key, a value out of range.
    """
    path = Path(name)
    if path.suffix == ".toml":
        if not path.is_file():
            raise UsageError(f"no profile file {name}")
        try:
            text = read_text(path)
        except (OSError, ValueError) as error:
            raise UsageError(f"profile {name} is not readable as text: {error}") from None
    elif name in profile_names():
        text = (files("harness.settings") / "profiles" / f"{name}.toml").read_text(encoding="utf-8")
    else:
        known = profile_names()
        raise UsageError(
            f"no profile named '{name}'; known: {', '.join(known)}{suggestion(name, known)}"
        )
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"profile {name} is not valid TOML: {error}") from error
    if variants:
        tables = values.setdefault("variants", {})
        if isinstance(tables, dict):  # else it is refused below
            _merge(tables, copy.deepcopy(dict(variants)))
    for item in overrides:
        _apply_override(values, item, variant=variant)
    return parse_settings(Profile, _over_defaults(values), what="setting")


def parse_settings(model: type[Model], values: Mapping[str, Any], *, what: str) -> Model:
    """`values` as a settings model, any mistake told in one sentence.

    Raises:
        UsageError: unknown key (with the closest known one), wrong type, out of range.
    """
    for place, value, expected in coerced(model, values):
        raise UsageError(f"{what} '{place}' cannot be {value!r}: expected {expected}")
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = _known_keys(model, first["loc"][:-1])
            hint = suggestion(str(first["loc"][-1]), known)
            raise UsageError(f"unknown {what} '{place}'; known: {', '.join(known)}{hint}") from None
        if not place:  # a rule between several settings
            reason = first["msg"].removeprefix("Value error, ")
            raise UsageError(f"{what.rstrip(':')}: {reason}") from None
        if isinstance(first.get("input"), Mapping) and first["type"] == "value_error":
            reason = first["msg"].removeprefix("Value error, ")  # the same within one table
            raise UsageError(f"{what} '{place}': {reason}") from None
        raise UsageError(
            f"{what} '{place}' cannot be {first.get('input')!r}: {first['msg']}"
        ) from None


def _over_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    # A TOML table replaces a sub-model whole, so its missing keys are filled from that default.
    merged = Profile().model_dump()
    _merge(merged, values)
    return merged


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _apply_override(values: dict[str, Any], item: str, *, variant: str | None) -> None:
    key, separator, text = item.partition("=")
    parts = key.strip().split(".")
    if not separator or not all(parts):
        raise UsageError(f"--set takes KEY=VALUE like stage2.lr=3e-5; got '{item}'")
    if parts[0] == "variant":
        if variant is None:
            raise UsageError(
                f"'{key}' needs one variant; write variants.NAME.{'.'.join(parts[1:])}"
            )
        parts = ["variants", variant, *parts[1:]]
    node = values
    for part in parts[:-1]:
        node = node.setdefault(part, {})
        if not isinstance(node, dict):
            raise UsageError(f"--set {item}: '{part}' is a value, not a table")
    node[parts[-1]] = _toml_value(text.strip())


def _toml_value(text: str) -> Any:
    # In a list, so that a comment, which would cut the value short, takes its bracket away.
    try:
        found = tomllib.loads(f"value = [{text}]")["value"]
    except tomllib.TOMLDecodeError:
        return text
    return found[0] if len(found) == 1 else text


def _known_keys(model: type[BaseModel], location: Sequence[Any]) -> list[str]:
    for part in location:
        field = model.model_fields.get(str(part))
        if field is None:
            return []
        # A table that may be left out is a model or None.
        kinds = get_args(field.annotation) or (field.annotation,)
        inner = next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)
        if inner is None:
            return []
        model = inner
    return sorted(model.model_fields)
