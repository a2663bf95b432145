"""One thing an audit found."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What was found; the values are stable and machine readable."""

    SHARED_CLIPS = "shared_clips"
    OFFICIAL_TEST_CLIPS = "official_test_clips"
    OFFICIAL_TEST_IS_TRAINED = "official_test_is_trained"
    UNMAPPED_LABEL = "unmapped_label"
    LABEL_OF_ANOTHER_CLASS = "label_of_another_class"
    CONFLICTING_CLASSES = "conflicting_classes"
    NO_SEED = "no_seed"
    NOT_STRATIFIED = "not_stratified"
    THIN_CLASS = "thin_class"


@dataclass(frozen=True)
class Finding:
    """A fact about a list of clips that a person should know before training on it."""

    kind: Kind
    sentence: str
    """For a person."""
    ids: tuple[str, ...] = ()
    """The clips it is about, sorted."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """The same numbers for scripts; JSON values."""

    def data(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "kind": self.kind.value,
            "sentence": self.sentence,
            "ids": list(self.ids),
            **dict(self.facts),
        }
