"""What clips that are compared with one another have in common, by the kind of the data."""

from dataclasses import dataclass

from core.data.items import DataKind


@dataclass(frozen=True)
class GroupWord:
    """One of them, and several."""

    one: str
    """Such as `class`."""
    many: str
    """Such as `classes`."""


CLASS = GroupWord("class", "classes")
_WORDS = {
    DataKind.CLASSES: CLASS,
    DataKind.LABELS: GroupWord("group of labels", "groups of labels"),
    DataKind.CAPTIONS: GroupWord("group of captions", "groups of captions"),
}


def group_word(kind: DataKind) -> GroupWord:
    """What the clips of one kind of data are grouped by."""
    return _WORDS[kind]


def groups_notice(kind: DataKind) -> list[str]:
    """How to read what is said of classes, where the data have none."""
    if kind is DataKind.CLASSES:
        return []
    what = "several labels a clip" if kind is DataKind.LABELS else "captions alone"
    many = group_word(kind).many
    return [
        f"the data have {what}: where classes are named, {many} are meant, and the mismatched "
        "sound is another clip's with the nearest caption"
    ]
