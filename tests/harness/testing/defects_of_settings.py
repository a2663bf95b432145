"""Branches whose settings take, hide or search what they must not."""

from typing import Any

from pydantic import ConfigDict

from tests.harness.testing.sound_branch import Sound, SoundConfig


class LaxConfig(SoundConfig):
    """Takes any key."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class TakesAnyKey(Sound):
    """A misspelt setting passes."""

    Config = LaxConfig


class SilentConfig(SoundConfig):
    """Has a setting without a line."""

    warmth: float = 0.0


class Undocumented(Sound):
    """A setting that nobody can understand."""

    Config = SilentConfig


class SearchesTooFar(Sound):
    """Tries what its own settings refuse, at the end of a range."""

    @classmethod
    def search_space(cls, trial: Any) -> dict[str, Any]:
        return {"num_tokens": trial.suggest_int("num_tokens", 0, 10_000)}


class SearchesElsewhere(Sound):
    """Tries a setting it does not have."""

    @classmethod
    def search_space(cls, trial: Any) -> dict[str, Any]:
        return {"token_count": trial.suggest_int("token_count", 1, 4)}


class SearchesPastItsDefault(Sound):
    """Its search never tries the branch as it is."""

    @classmethod
    def search_space(cls, trial: Any) -> dict[str, Any]:
        return {"num_tokens": trial.suggest_int("num_tokens", 3, 4)}


class SearchesInOtherSteps(Sound):
    """Its search steps over the default."""

    @classmethod
    def search_space(cls, trial: Any) -> dict[str, Any]:
        return {"num_tokens": trial.suggest_int("num_tokens", 1, 5, step=2)}


class UnsettableConfig(SoundConfig):
    """A setting that no file can leave unset."""

    num_layers: int | None = None
    """Layers; unset is one."""


class SearchesUnset(Sound):
    """Draws None, which its settings do not know by name."""

    Config = UnsettableConfig

    @classmethod
    def search_space(cls, trial: Any) -> dict[str, Any]:
        return {"num_tokens": trial.suggest_int("num_tokens", 1, 4), "num_layers": None}


class HidesConfig(SoundConfig):
    """Says something else of itself than what is set."""

    def in_effect(self) -> dict[str, Any]:
        return {"num_tokens": 3}


class SaysOtherwise(Sound):
    """Its settings in effect are not those that are set."""

    Config = HidesConfig
