"""Captions that stand beside the media: `a.txt` for `a.wav` and `a.jpg`, or a list by file name.

Text beside a pair is what trainers of image models read (kohya's, with `.txt` or `.caption`); a
`metadata.jsonl` or `metadata.csv` with the columns `file_name` and `text` is what Hugging Face's
folder builders read.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from core.data.ingest.rows import kind_of, read_rows, said
from core.data.ingest.scan import Found
from core.errors import DataError
from core.text import canonical, read_text

_FILE_KEYS = ("file_name", "audio_file_name", "image_file_name")
_CAPTION_KEYS = ("text", "caption", "transcription")
_LABEL_KEYS = ("label", "class", "class_name")


@dataclass
class Captions:
    """What the text beside a folder's media says of them."""

    root: Path
    """Folder that all paths are relative to."""
    files: Mapping[str, str]
    """Text file by the path of its medium without the ending, in NFC."""
    rows: Mapping[str, tuple[str | None, str | None]]
    """Caption and label by the path of a medium, in NFC."""
    notices: list[str] = field(default_factory=list)
    """What a reader should know of them, as sentences."""
    _used: set[str] = field(default_factory=set)
    _num_pairs: int = 0
    _num_differing: int = 0

    @classmethod
    def of(cls, root: Path, found: Found) -> "Captions":
        """The text files and lists of a folder.

        Raises: DataError naming a list that is malformed, and its row.
        """
        files = {canonical(str(PurePosixPath(p).with_suffix(""))): p for p in found.captions}
        captions = cls(root, files, {})
        rows: dict[str, tuple[str | None, str | None]] = {}
        for path in found.caption_lists:
            own = list(_listed(root / path))
            if not own:
                captions.notices.append(
                    f"{path} is not read: it has no column file_name with text or label"
                )
            for name, text, label in own:
                rows[canonical((PurePosixPath(path).parent / name).as_posix())] = text, label
        captions.rows = rows
        return captions

    def label(self, *paths: str) -> str | None:
        """The label that a list gives to one of these files."""
        found = [self.rows[key][1] for key in map(canonical, paths) if key in self.rows]
        return next((label for label in found if label), None)

    def caption(self, *paths: str) -> str | None:
        """The caption of a pair of these files, the first with one; None where none has.

        Raises: ValueError for a text file that cannot be read.
        """
        texts = [text for text in map(self._text, paths) if text]
        self._num_pairs += bool(texts)
        self._num_differing += len(set(texts)) > 1
        return texts[0] if texts else None

    def _text(self, path: str) -> str | None:
        key = canonical(path)
        beside = self.files.get(str(PurePosixPath(key).with_suffix("")))
        if beside is not None:
            self._used.add(beside)
            try:
                lines = read_text(self.root / beside).splitlines()
            except (OSError, ValueError) as error:
                raise ValueError(f"its caption {beside}: {said(error)}") from None
            # The first line, as kohya's trainer reads it.
            text = next((line.strip() for line in lines if line.strip()), None)
            if text:
                return canonical(text.replace("\0", ""))
        return self.rows[key][0] if key in self.rows else None

    def said(self) -> list[str]:
        """The notices, after all captions were asked for."""
        notices = list(self.notices)
        if self._num_pairs:
            notices.append(f"{self._num_pairs} pairs have a text file next to them")
        if self._num_differing:
            notices.append(
                f"{self._num_differing} pairs have two unlike texts; that of the picture counts"
            )
        loose = sorted(set(self.files.values()) - self._used)
        if loose:
            notices.append(
                f"{len(loose)} text files describe no pair and are not read, such as {loose[0]}"
            )
        return notices


def unread(found: Found, *, because: str) -> list[str]:
    """The notice of text beside the media that a source does not read, if there is any."""
    paths = [*found.captions, *found.caption_lists]
    if not paths:
        return []
    files = f"{len(paths)} text files next to the media"
    return [f"{files} are not read, such as {paths[0]}: {because}"]


def _listed(path: Path) -> Iterator[tuple[str, str | None, str | None]]:
    for number, row in enumerate(read_rows(path), start=1):
        if not isinstance(row, Mapping):
            raise DataError(f"{path.name}, row {number}: got {kind_of(row)}; expected an object")
        text = _first(row, _CAPTION_KEYS)
        label = _first(row, _LABEL_KEYS)
        names = [row[key] for key in _FILE_KEYS if row.get(key)]
        for name in names:
            if not isinstance(name, str):
                raise DataError(
                    f"{path.name}, row {number}: 'file_name' is {kind_of(name)}; expected text"
                )
            if text or label:
                yield name.replace("\\", "/"), text, label


def _first(row: Mapping[str, Any], keys: tuple[str, ...]) -> str | None:
    for key in keys:
        value = row.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if isinstance(value, str) and value.strip():
            return canonical(value.strip().replace("\0", ""))
    return None
