"""The first trial of every study: the branch as the profile has it."""

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import Trial


class DefaultTrial:
    """Answers a search space with the defaults.

    Where the space does not hold a default (it may begin above zero, which means "off") the trial
    gets no such parameter: the sampler must not learn a value that was not tried.
    """

    def __init__(self, trial: Trial, defaults: Mapping[str, Any]) -> None:
        self._trial, self._defaults = trial, defaults

    def __getattr__(self, name: str) -> Any:
        return getattr(self._trial, name)

    def suggest_float(self, name: str, low: float, high: float, **words: Any) -> float:
        """The default, or the lowest value."""
        if self._lies_within(name, low, high):
            return self._trial.suggest_float(name, low, high, **words)
        value: float = self._defaults.get(name, low)
        return value

    def suggest_int(self, name: str, low: int, high: int, **words: Any) -> int:
        """The default, or the lowest value."""
        if self._lies_within(name, low, high):
            return self._trial.suggest_int(name, low, high, **words)
        value: int = self._defaults.get(name, low)
        return value

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """The default, or the first choice."""
        if name in self._defaults and self._defaults[name] in choices:
            return self._trial.suggest_categorical(name, choices)
        return self._defaults.get(name, choices[0])

    def _lies_within(self, name: str, low: float, high: float) -> bool:
        value = self._defaults.get(name)
        return isinstance(value, int | float) and low <= value <= high
