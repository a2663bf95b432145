"""From a source's labels to classes: by an explicit list, letter for letter, never by substring."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files

from core.errors import DataError, UsageError, suggestion
from core.files import expanded
from core.text import canonical, read_text


@dataclass(frozen=True)
class LabelMap:
    """Which of a source's labels mean which class; a label that is not listed means none."""

    name: str
    """Name of a shipped map, or the file it came from."""
    classes: Mapping[str, tuple[str, ...]]
    """Class -> the source's labels that mean it."""

    @cached_property
    def _class_of(self) -> dict[str, str]:
        # A class's own name means itself, so a source that is labelled already needs no list.
        own = {class_name: class_name for class_name in self.classes}
        return own | {
            label: class_name for class_name, labels in self.classes.items() for label in labels
        }

    def class_of(self, label: str) -> str | None:
        """The class that `label` means, equal in every letter, or None."""
        return self._class_of.get(canonical(label))

    def why_unmapped(self, label: str) -> str:
        """A sentence on a label that means no class, with one that it may be a misspelling of."""
        # No looser: 'train horning' shares letters with 'raining' and is not rain.
        return (
            f"the label {label!r} is not in the label map {self.name}, so it means no class"
            f"{suggestion(label, self._class_of, cutoff=0.85)}"
        )


def shipped_label_maps() -> list[str]:
    """Names that `load_label_map` knows without a path."""
    folder = files("core.data") / "label_maps"
    return sorted(
        entry.name.removesuffix(".toml")
        for entry in folder.iterdir()
        if entry.name.endswith(".toml")
    )


def load_label_map(name: str) -> LabelMap:
    """The map `name`: a shipped one, or the path of a TOML file of `[classes] rain = ["raining"]`.

    Raises: UsageError for no such map; DataError for a file of another form, or a label that is
    listed under two classes.
    """
    if name in shipped_label_maps():
        text = (files("core.data") / "label_maps" / f"{name}.toml").read_text(encoding="utf-8")
    elif name.endswith(".toml"):
        try:
            text = read_text(expanded(name))
        except (OSError, ValueError) as error:
            raise UsageError(f"the label map {name} cannot be read: {error}") from None
    else:
        known = shipped_label_maps()
        raise UsageError(
            f"no label map named {name!r}; known: {', '.join(known)}, or the path of a .toml file"
            f"{suggestion(name, known)}"
        )
    try:
        body = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"the label map {name} is not valid TOML: {error}") from None
    return LabelMap(name, _checked_classes(body, name=name))


def _checked_classes(body: Mapping[str, object], *, name: str) -> dict[str, tuple[str, ...]]:
    classes = body.get("classes")
    if set(body) != {"classes"} or not isinstance(classes, dict) or not classes:
        raise DataError(
            f"the label map {name} holds {', '.join(body) or 'nothing'}; expected one table "
            '[classes] with lines like rain = ["raining"]'
        )
    meaning: dict[str, str] = {class_name: class_name for class_name in classes}
    for class_name, labels in classes.items():
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise DataError(
                f"the label map {name} gives {class_name} the value {labels!r}; expected a list "
                "of labels"
            )
        for label in labels:
            other = meaning.setdefault(label, class_name)
            if other != class_name:
                raise DataError(
                    f"the label map {name} lists {label!r} under {class_name}, but it means "
                    f"{other} already; a label means one class"
                )
    return {
        canonical(class_name): tuple(map(canonical, labels))
        for class_name, labels in classes.items()
    }
