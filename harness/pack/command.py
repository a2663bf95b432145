"""A command as it is given here, and the same where its files lie in a pack."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import UsageError
from core.files import expanded
from harness.archive.write import Member
from harness.pack.contents import LOCK, WORK
from harness.run.plan import RunRequest

_PACKABLE = ("run", "compare", "sweep")
_FLAGS = frozenset({"--json", "--dry-run", "--allow-mixed-environment"})
"""Options without a value."""


@dataclass(frozen=True)
class Command:
    """A command of ours, by its words after `harness`."""

    words: tuple[str, ...]
    """As they are given."""
    options: dict[str, list[str]] = field(default_factory=dict)
    """By name with its dashes, the values given."""

    @classmethod
    def of(cls, words: Sequence[str]) -> "Command":
        """Raises: UsageError for a command that no rented machine has a use for."""
        words = tuple(words[1:] if list(words[:1]) == ["harness"] else words)
        if not words or words[0] not in _PACKABLE:
            raise UsageError(
                f"'{shlex.join(words)}' cannot be packed; expected harness run, compare or sweep "
                "with its options, after --"
            )
        options: dict[str, list[str]] = {}
        rest = list(words[1:])
        while rest:
            name, separator, value = rest.pop(0).partition("=")
            if not name.startswith("--"):
                raise UsageError(f"'{name}' in '{shlex.join(words)}' is not an option of it")
            if name not in _FLAGS and not separator:
                if not rest:
                    raise UsageError(f"{name} in '{shlex.join(words)}' lacks its value")
                value = rest.pop(0)
            options.setdefault(name, []).append(value)
        return cls(words, options)

    def last(self, name: str) -> str | None:
        """The value that counts of an option; None where it is not given."""
        values = self.options.get(name)
        return values[-1] if values else None

    @property
    def profile(self) -> str:
        """Name or file of its profile."""
        return self.last("--profile") or RunRequest.profile

    @property
    def overrides(self) -> tuple[str, ...]:
        """Its `--set` items that are of no branch."""
        items = self.options.get("--set", [])
        return tuple(item for item in items if not item.strip().startswith("variant."))


@dataclass
class Packed:
    """Commands with their places in the pack, and the files that they name."""

    members: dict[str, Member] = field(default_factory=dict)
    """Settings files, by name in the archive."""

    def words(self, command: Command) -> list[str]:
        """The command where it is given in the pack's `work` folder.

        Raises:
            UsageError: a file that it names is not there.
        """
        words = [command.words[0]]
        for name, values in command.options.items():
            if name in ("--data", "--results"):
                continue
            for value in values:
                if name in _FLAGS:
                    words.append(name)
                    continue
                is_file = name == "--config" or (name == "--profile" and value.endswith(".toml"))
                words += [name, self._settings(value) if is_file else value]
        return [*words, "--data", LOCK, "--results", "results"]

    def _settings(self, value: str) -> str:
        path = expanded(value)
        if not path.is_file():
            raise UsageError(f"no file {value}, which the command names")
        content = path.read_bytes()
        for number in range(1, 1000):
            name = path.name if number == 1 else f"{path.stem}-{number}{path.suffix}"
            place = f"{WORK}/settings/{name}"
            held = self.members.setdefault(place, Member(place, content))
            if held.source == content:
                return f"settings/{name}"
        raise UsageError(f"too many settings files are named {path.name}")


def weights_words(command: Command, *, profile: str) -> list[str]:
    """Words after `harness weights get` for the models of a command."""
    words = ["--profile", profile]
    for item in command.overrides:
        if item.strip().startswith(("foundation.", "scorers.")):
            words += ["--set", item]
    return words


def folder_of(command: Command) -> Path:
    """The results folder of a command."""
    return expanded(command.last("--results") or "results")
