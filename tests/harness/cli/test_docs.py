"""The pages' commands are those of today: each parses, with options and settings that exist."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from core.errors import HarnessError
from harness.cli.main import app
from harness.settings.load import load_profile

ROOT = Path(__file__).parents[3]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "examples/*/README.md", "benchmarks/*.md")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"
)
BLOCK = re.compile(r"^ *```(?:bash|sh)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`+harness ([^`]+)`")
Refused: Any = typer.BadParameter.__base__
"""What the command line raises; typer brings click as its own, or as a package, by its version."""
COMMAND: Any = typer.main.get_command(app)


def commands_in(text: str) -> list[list[str]]:
    """Words after `harness` of every command in a page's blocks for a shell."""
    found = []
    for block in BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            words: list[str] = []
            for word in [*_words(line), "&&"]:
                if word not in ("&&", ";", "|", "&"):
                    words.append(word)
                    continue
                while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                    del words[0]  # a variable of the environment
                if words and words[0].rpartition("/")[2] == "harness":
                    found.append(words[1:])
                words = []
    return found


def _words(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|")
    lexer.whitespace_split = True
    return list(lexer)


def leaf_of(words: list[str]) -> tuple[Any, str, list[str]]:
    """The command that words name, its name, and the words that are left for it."""
    command = COMMAND
    rest, name = list(words), "harness"
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        found = command.commands.get(name)
        assert found is not None, f"no command '{name}' in: harness {shlex.join(words)}"
        command = found
    return command, name, rest


def parse(words: list[str]) -> None:
    """Raises: Refused, HarnessError where the command line would refuse the words."""
    command, name, rest = leaf_of(words)
    if "--help" in rest:
        return
    given = command.make_context(name, list(rest)).params
    profile = str(given.get("profile") or "tiny")
    settings = [item for item in given.get("set_") or () if not item.startswith("variant.")]
    if not profile.endswith(".toml"):
        load_profile(profile, overrides=settings)
    if name in ("pack", "keep") and given["command"]:
        parse(given["command"])


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_is_one_of_today(page: str) -> None:
    """Catches: an option that was renamed, a setting that is gone, a command that never was."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for words in commands_in(text):
        try:
            parse(words)
        except (Refused, HarnessError) as error:
            said = error.format_message() if isinstance(error, Refused) else error
            pytest.fail(f"harness {shlex.join(words)}: {said}")
    for inline in INLINE.findall(text):
        plain = [word for word in re.split(r"[\s|=]+", inline) if re.fullmatch(r"[a-z-]+", word)]
        command, _, _ = leaf_of(plain)
        options = {name for parameter in command.params for name in parameter.opts}
        options |= {name for parameter in command.params for name in parameter.secondary_opts}
        before = inline.partition(" -- ")[0]
        unknown = set(re.findall(r"(?<!\S)--[a-z][a-z-]*", before)) - options - {"--help"}
        assert not unknown, f"`harness {inline}`: no option {', '.join(sorted(unknown))}"


def test_the_pages_hold_commands_to_look_at() -> None:
    """Catches: a pattern that finds nothing, and so holds nothing to the command line."""
    page = (ROOT / "docs" / "rented-gpu.md").read_text(encoding="utf-8")
    first = [words[0] for words in commands_in(page)]
    assert {"data", "plan", "doctor", "pack", "unpack", "launch", "run", "clean"} <= set(first)
    with pytest.raises(Refused):
        parse(["pack", "--out", "x.tar", "--", "run", "--varaint", "sonic"])
    with pytest.raises(HarnessError):
        parse(["run", "--variant", "sonic", "--set", "stage1.stpes=1"])
