"""One media file, looked into once: its hash, and what a whole decode found or failed on."""

import base64
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from core.data.items import Reason
from core.data.media.decode_audio import AudioFacts, inspect_audio
from core.data.media.decode_image import ImageFacts, inspect_image
from core.data.media.errors import MediaError
from core.files import file_sha256


class MediaKind(StrEnum):
    """As what a file is decoded."""

    AUDIO = "audio"
    IMAGE = "image"


@dataclass(frozen=True)
class FileOutcome:
    """What is known of one file; either facts or a reason."""

    num_bytes: int | None
    """Size; None when the file is gone."""
    sha256: str | None
    """Hash of its bytes; None when they cannot be read."""
    facts: AudioFacts | ImageFacts | None = None
    """Of a usable file."""
    reason: Reason | None = None
    """Why it is not usable; machine readable."""
    detail: str | None = None
    """The same as a sentence."""

    def to_json(self) -> dict[str, Any]:
        """A JSON object of it."""
        facts = None if self.facts is None else asdict(self.facts)
        if facts and facts.get("fingerprint") is not None:
            facts["fingerprint"] = base64.b64encode(facts["fingerprint"]).decode("ascii")
        return {**vars(self), "facts": facts}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], *, kind: MediaKind) -> "FileOutcome":
        """The outcome that `to_json` described. Raises: KeyError, TypeError, ValueError."""
        fields = dict(value)
        facts = fields.pop("facts")
        if facts is not None:
            if facts.get("fingerprint") is not None:
                facts = {**facts, "fingerprint": base64.b64decode(facts["fingerprint"])}
            facts = AudioFacts(**facts) if kind is MediaKind.AUDIO else ImageFacts(**facts)
        reason = None if fields["reason"] is None else Reason(fields.pop("reason"))
        return cls(**{**fields, "facts": facts, "reason": reason})


def inspect_file(path: Path, *, kind: MediaKind, window_s: float) -> FileOutcome:
    """Hash and decode a file, once. Never raises for what is in the file, only MemoryError.

    window_s: the part of a sound in which silence and clipping are judged.
    """
    try:
        num_bytes, sha256 = path.stat().st_size, file_sha256(path)
    except OSError as error:
        detail = f"the {kind.value} cannot be read: {error.strerror}"
        return FileOutcome(None, None, reason=Reason.UNREADABLE, detail=detail)
    facts: AudioFacts | ImageFacts
    try:
        if kind is MediaKind.AUDIO:
            facts = inspect_audio(path, window_s=window_s)
        else:
            facts = inspect_image(path)
    except MediaError as error:
        return FileOutcome(num_bytes, sha256, reason=error.reason, detail=str(error))
    return FileOutcome(num_bytes, sha256, facts=facts)
