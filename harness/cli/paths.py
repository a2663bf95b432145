"""`~` in every path of the command line: shells leave it in `--out=~/x` and in quotes."""

from collections.abc import Iterable

from core.files import expanded

_TEXT_OPTIONS = frozenset(
    {"--class", "--id", "--name", "--flag", "--set", "--reason", "--caption", "--text"}
    | {"--source-text", "--notify", "--then"}
)
"""Their values are no paths."""
_PART_OPTION = "--import"
"""Takes a path, or `PART=PATH`."""


def with_home_folders(arguments: Iterable[str]) -> list[str]:
    """The arguments, a leading `~` of each path replaced by the home folder.

    Raises: UsageError for one whose home folder is not known: nothing is made under the name `~`.
    """
    found: list[str] = []
    option = ""
    for argument in arguments:
        if argument.startswith("-"):
            option, separator, value = argument.partition("=")
            found.append(f"{option}={_home(value, option)}" if separator else argument)
            option = "" if separator else option
        else:
            found.append(_home(argument, option))
            option = ""
    return found


def _home(value: str, option: str) -> str:
    if option in _TEXT_OPTIONS:
        return value
    part, separator, path = value.partition("=")
    if option == _PART_OPTION and separator and not part.startswith("~"):
        return f"{part}={_home(path, '')}"
    return str(expanded(value)) if value.startswith("~") else value
