"""What two runs, or two comparisons, differ in: settings and numbers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import UsageError
from harness.comparison.record import ComparisonRecord, load_comparison
from harness.records.folders import RECORD, RunFolder
from harness.records.names import Kind, Named, named
from harness.records.record import RunIdentity, RunRecord, load_record


@dataclass(frozen=True)
class Row:
    """One thing that both sides say, or one of them."""

    name: str
    """A setting's key, or a number's name."""
    first: Any
    """Of the first side; None: it has none."""
    second: Any
    """Of the second side."""

    @property
    def difference(self) -> float | None:
        """Second minus first, of two numbers."""
        if _is_number(self.first) and _is_number(self.second):
            return float(self.second) - float(self.first)
        return None


@dataclass(frozen=True)
class Diff:
    """Two sides held against each other."""

    kind: str
    """`run` or `comparison`."""
    first: str
    """Its name."""
    second: str
    """Its name."""
    settings: list[Row]
    """What differs of the settings, the code, the models and the machine, by key."""
    num_equal: int
    """Settings that are equal."""
    numbers: list[Row]
    """Every number that one of them has."""

    def data(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "kind": self.kind,
            "first": self.first,
            "second": self.second,
            "settings": {row.name: [row.first, row.second] for row in self.settings},
            "num_equal_settings": self.num_equal,
            "numbers": {
                row.name: {
                    "first": row.first,
                    "second": row.second,
                    "difference": row.difference,
                }
                for row in self.numbers
            },
        }


def diff(first: str, second: str, *, results: Path) -> Diff:
    """Hold two runs, or two comparisons, against each other.

    A run that has not ended has its settings and no numbers yet.

    Raises:
        UsageError: a name that is not there, a sweep, or a run and a comparison.
        DataError: a record that cannot be read.
    """
    sides = [named(first, results=results), named(second, results=results)]
    kinds = {side.kind for side in sides}
    if len(kinds) > 1 or Kind.SWEEP in kinds:
        listed = " and ".join(f"{side.folder.name} is a {side.kind.value}" for side in sides)
        raise UsageError(f"{listed}; name two runs or two comparisons")
    read = _of_run if sides[0].kind is Kind.RUN else _of_comparison
    (settings_1, numbers_1), (settings_2, numbers_2) = (read(side) for side in sides)
    rows = _rows(settings_1, settings_2)
    differing = [row for row in rows if row.first != row.second]
    return Diff(
        sides[0].kind.value,
        sides[0].folder.name,
        sides[1].folder.name,
        settings=differing,
        num_equal=len(rows) - len(differing),
        numbers=_rows(numbers_1, numbers_2),
    )


def _rows(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Row]:
    return [Row(key, first.get(key), second.get(key)) for key in dict.fromkeys([*first, *second])]


def _of_run(side: Named) -> tuple[dict[str, Any], dict[str, Any]]:
    path = side.path if side.path.is_file() else side.folder / RECORD
    if not path.is_file() and (content := _identity(side.folder)) is not None:
        return _settings_of(content), {}
    record = load_record(path)
    settings = _settings_of(record.identity)
    settings |= {f"environment.{key}": value for key, value in record.environment.items()}
    settings["device"] = record.cost.device
    return settings, _numbers_of(record)


def _identity(folder: Path) -> RunIdentity | None:
    try:
        return RunIdentity.model_validate(json.loads(RunFolder(folder).identity.read_bytes()))
    except (OSError, ValueError):
        return None


def _settings_of(identity: RunIdentity) -> dict[str, Any]:
    content = identity.model_dump(mode="json")
    settings = content.pop("settings")
    own = {f"variant.{key}": value for key, value in content.pop("variant_config").items()}
    return {**_flat(content), **_flat(settings), **own}


def _numbers_of(record: RunRecord) -> dict[str, Any]:
    numbers: dict[str, Any] = {name: score.value for name, score in record.metrics.items()}
    for stage in record.stages:
        numbers[f"{stage.stage} loss"] = stage.last_loss
        numbers[f"{stage.stage} validation loss"] = stage.validation_loss
    numbers["steps"] = record.steps_done
    numbers["trainable parameters"] = sum(record.parameters.values())
    numbers |= {f"seconds of {name}": value for name, value in record.seconds.items()}
    numbers["peak memory, bytes"] = record.cost.peak_memory_bytes
    numbers["dollars"] = record.cost.dollars
    return {name: value for name, value in numbers.items() if value is not None}


def _of_comparison(side: Named) -> tuple[dict[str, Any], dict[str, Any]]:
    record = load_comparison(side.folder)
    settings = {
        "profile": record.profile,
        "metric": record.metric,
        "branches": record.branches,
        "seeds": record.seeds,
        "split_hash": record.eligibility.split_hash,
        **_flat(record.eligibility.settings),
        **_flat(record.eligibility.variant_config, "variants."),
        **_flat(record.eligibility.code, "code."),
        **_flat(record.eligibility.models, "models."),
        **_flat(record.eligibility.environment, "environment."),
    }
    return settings, _numbers_of_comparison(record)


def _numbers_of_comparison(record: ComparisonRecord) -> dict[str, Any]:
    numbers: dict[str, Any] = {"outcome": record.outcome.value}
    if record.winner is not None:
        numbers["winner"] = record.winner
    for pair in record.pairs:
        name = f"{pair.metric}: {pair.first} - {pair.second}"
        numbers[name] = pair.effect
        numbers[f"{name}, p"] = pair.adjusted_p
    for row in record.metrics:
        for branch, score in row.branches.items():
            numbers[f"{row.metric} of {branch}"] = score.mean
    return {name: value for name, value in numbers.items() if value is not None}


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as one, their keys joined by dots."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
