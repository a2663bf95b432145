"""A branch's settings as a file, and how they were found: what a sweep writes and a run reads.

It holds what is the branch's own and nothing else, since branches are compared with equal settings
of everything they share; those are in a profile.
"""

import json
import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from core.conditioning.config import SCHEDULE
from core.errors import UsageError
from core.files import json_sha256, write_atomic
from core.text import read_text
from harness.settings.load import parse_settings
from harness.settings.profile import Profile

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_SHARED = frozenset(Profile.model_fields) - {"variants"}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Tuning(_Part):
    """How settings were found."""

    sweep: str
    """Name of the sweep, or whatever names the search."""
    num_trials: int = Field(ge=1)
    """Trials asked of the branch."""
    trials: dict[str, int] = {}
    """Trials made, by how they ended: complete, pruned, failed."""
    study: str | None = None
    """Name of its Optuna study."""
    trial: int | None = None
    """Number of the trial these settings are."""
    metric: str | None = None
    """What was searched for."""
    value: float | None = None
    """Its value with these settings, on the validation clips."""
    default_value: float | None = None
    """Its value with the branch's settings as the profile has them."""
    split_hash: str | None = None
    """Hash of the split whose validation clips were searched on."""
    num_validation: int | None = None
    """How many these are."""
    seed: int | None = None
    """Of the search, and of the training of every trial."""
    shared_settings_hash: str | None = None
    """Of the settings that branches share: steps, learning rates and the rest of the profile."""
    own_settings_hash: str | None = None
    """Of the branch's settings as they were found."""
    searched: list[str] = []
    """Settings that the search drew; empty: it does not say."""
    is_changed: bool = False
    """Whether the branch's settings were changed afterwards."""

    @property
    def has_rates(self) -> bool:
        """Whether learning rates and stage lengths were searched too."""
        return set(SCHEDULE) <= set(self.searched)

    @property
    def num_made(self) -> int:
        """Trials made; those asked for where nobody counted them."""
        return sum(self.trials.values()) if self.trials else self.num_trials


class RunConfig(_Part):
    """A branch's settings, and how they were found."""

    variant: str = Field(min_length=1)
    """The branch."""
    profile: str | None = None
    """The profile they were found on, or are meant for; None: any."""
    variants: dict[str, dict[str, Any]] = {}
    """The branch's settings under its name, as a profile has them; `none` is unset."""
    tuning: Tuning | None = None
    """How they were found; None: by nobody who says so."""

    @field_validator("variants", mode="before")
    @classmethod
    def _as_toml_has_them(cls, value: Any) -> Any:
        return _plain(value)

    @field_validator("profile", mode="after")
    @classmethod
    def _found_from_anywhere(cls, value: str | None) -> str | None:
        return None if value is None else _absolute(value)

    @model_validator(mode="after")
    def _holds_its_own_settings_alone(self) -> Self:
        others = sorted(set(self.variants) - {self.variant})
        if others:
            raise ValueError(
                f"it is for {self.variant!r} but also sets {', '.join(map(repr, others))}; a "
                "config may hold settings of one branch only"
            )
        return self

    @property
    def settings(self) -> dict[str, Any]:
        """The branch's settings."""
        return self.variants.get(self.variant, {})

    @property
    def settings_hash(self) -> str:
        """Of the branch's settings."""
        return json_sha256(self.settings)

    @property
    def is_edited(self) -> bool:
        """Whether the settings are others than those that the tuning found."""
        found = None if self.tuning is None else self.tuning.own_settings_hash
        return found not in (None, self.settings_hash)

    def require_agreement(self, path: Path, *, variant: str | None, profile: str | None) -> None:
        """Refuse a branch or profile that was asked for and is not this file's.

        path: where it was read. None: not asked for.

        Raises:
            UsageError: names both.
        """
        if variant is not None and variant != self.variant:
            raise UsageError(
                f"--variant {variant}, but config {path} is for '{self.variant}'; drop one of them"
            )
        if None not in (profile, self.profile) and _absolute(str(profile)) != self.profile:
            raise UsageError(
                f"--profile {profile}, but the config {path} is for profile {self.profile}, where "
                "its settings were found; leave --profile out, or take the line out of the file"
            )


def load_run_config(path: Path) -> RunConfig:
    """The config in a TOML file; the branch itself judges its settings when a run is planned.

    Raises:
        UsageError: no such file, no TOML, no branch, or a key that has no place in it.
    """
    try:
        text = read_text(path)
    except OSError as error:
        raise UsageError(f"no config file {path} ({error.strerror})") from None
    except ValueError as error:
        raise UsageError(f"config {path} cannot be read: {error}") from None
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"config {path} is not valid TOML: {error}") from None
    if "variant" not in values:
        raise UsageError(f'config {path} names no branch; add a line like variant = "sonic"')
    shared = sorted(_SHARED & values.keys())
    if shared:
        raise UsageError(
            f"config {path} sets {', '.join(shared)}, which all branches share: they are compared "
            "with equal settings; put it in a profile (--profile FILE.toml) or use --set"
        )
    return parse_settings(RunConfig, values, what=f"key of config {path}:")


def write_run_config(config: RunConfig, path: Path, *, comment: str = "") -> None:
    """Write the file that `load_run_config` reads back as the same, whole or not at all.

    comment: lines in front.
    """
    write_atomic(path, content=run_config_text(config, comment=comment).encode())


def run_config_text(config: RunConfig, *, comment: str = "") -> str:
    """The config as TOML."""
    lines = [f"# {_CONTROL.sub(' ', line)}".rstrip() for line in comment.splitlines()]
    lines.append(f"variant = {toml_value(config.variant)}")
    if config.profile is not None:
        lines.append(f"profile = {toml_value(config.profile)}")
    if config.variant in config.variants:
        lines += ["", f"[variants.{_key(config.variant)}]", *_lines(config.settings)]
    if config.tuning is not None:
        lines += [
            "",
            "[tuning]",
            *_lines(config.tuning.model_dump(exclude_none=True, exclude_defaults=True)),
        ]
    return "\n".join(lines) + "\n"


def _absolute(profile: str) -> str:
    """A profile that is a file, by its whole path; one that comes with the harness, by its name."""
    return str(Path(profile).resolve()) if profile.endswith(".toml") else profile


def _lines(table: Mapping[str, Any]) -> list[str]:
    return [f"{_key(key)} = {toml_value(value)}" for key, value in table.items()]


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else toml_value(name)


def toml_value(value: Any) -> str:
    """A setting in TOML's words, as `--set KEY=VALUE` takes it too; None is "none".

    By hand, since the known writers spread a list over lines, which an option cannot take.
    """
    value = _plain(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return float.__repr__(value)  # the shortest digits that give the same number back
    if isinstance(value, str):
        # JSON escapes what TOML does, but for DEL.
        return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    return "{" + ", ".join(f"{_key(k)} = {toml_value(v)}" for k, v in value.items()) + "}"


def _plain(value: Any) -> Any:
    """The value as TOML gives it back: None by name, lists for tuples, no subclasses.

    Raises:
        ValueError: what TOML cannot hold.
    """
    if value is None:
        return "none"
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is not a setting; expected a finite number")
        return float(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    raise ValueError(f"{value!r} cannot be written to a config: {type(value).__name__}")
