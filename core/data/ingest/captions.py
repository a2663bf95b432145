"""Captions that stand beside the media: `a.txt` for `a.wav` and `a.jpg`, or a list by file name.

Text beside a pair is what trainers of image models read (kohya's, with `.txt` or `.caption`); a
`metadata.jsonl` or `metadata.csv` with the columns `file_name` and `text` is what Hugging Face's
folder builders read. A `captions.json` has captions by the clip's name, one or a list.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from core.data.ingest.endings import CAPTION_MAP
from core.data.ingest.rows import kind_of, parse_json, read_rows, said
from core.data.ingest.scan import Found, caption_of
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
    rows: Mapping[str, tuple[tuple[str, ...], str | None]]
    """Captions and label by the path of a medium, in NFC."""
    notices: list[str] = field(default_factory=list)
    """What a reader should know of them, as sentences."""
    _by_name: set[str] = field(default_factory=set)
    """Keys of `rows` that are the name of a clip in any folder."""
    _found: set[str] = field(default_factory=set)
    _used: set[str] = field(default_factory=set)
    _num_pairs: int = 0
    _num_differing: int = 0
    _num_without: int = 0

    @classmethod
    def of(cls, root: Path, found: Found) -> "Captions":
        """The text files and lists of a folder.

        Raises: DataError naming a list that is malformed, and its row.
        """
        files = {canonical(str(PurePosixPath(p).with_suffix(""))): p for p in found.captions}
        captions = cls(root, files, {})
        rows: dict[str, tuple[tuple[str, ...], str | None]] = {}
        for path in found.caption_lists:
            if PurePosixPath(path).name.lower() == CAPTION_MAP:
                by_name = _map(root / path)
                captions._by_name |= by_name.keys()
                rows |= {name: (texts, None) for name, texts in by_name.items()}
                if by_name:
                    continue
            own = list(_listed(root / path))
            if not own:
                captions.notices.append(
                    f"{path} is not read: it has no column file_name with text or label"
                )
            for name, text, label in own:
                key = canonical((PurePosixPath(path).parent / name).as_posix())
                rows[key] = (text,) if text else (), label
        captions.rows = rows
        return captions

    def label(self, *paths: str) -> str | None:
        """The label that a list gives to one of these files."""
        found = [row for row in map(self._row, map(canonical, paths)) if row is not None]
        return next((label for _, label in found if label), None)

    def all(self, *paths: str) -> tuple[str, ...]:
        """Every caption of a pair of these files, those of the first with one; none where none has.

        Raises: ValueError for a text file that cannot be read.
        """
        texts = [own for own in map(self._texts, paths) if own]
        self._num_pairs += bool(texts)
        self._num_differing += len(set(texts)) > 1
        self._num_without += not texts and len(paths) > 1  # a loose file is no pair
        return texts[0] if texts else ()

    def _texts(self, path: str) -> tuple[str, ...]:
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
                return (canonical(text.replace("\0", "")),)
        row = self._row(key)
        return () if row is None else row[0]

    def _row(self, key: str) -> tuple[tuple[str, ...], str | None] | None:
        """What a list says of a medium: by its path, else by its name without the ending."""
        for name in (key, PurePosixPath(key).name, PurePosixPath(key).stem):
            if name in self.rows and (name == key or name in self._by_name):
                self._found.add(name)
                return self.rows[name]
        return None

    def said(self, *, has_labels: bool = True) -> list[str]:
        """The notices, after all captions were asked for; has_labels: whether a class is there to
        make a caption of."""
        notices = list(self.notices)
        if self._num_pairs:
            notices.append(
                f"{self._num_pairs} pairs have a text file next to them, or a caption in a list"
            )
        if self._num_pairs and self._num_without and has_labels:
            notices.append(
                f"{self._num_without} pairs have no caption; theirs is made from the class, "
                f"as {caption_of('NAME')!r}"
            )
        if self._num_differing:
            notices.append(
                f"{self._num_differing} pairs have two unlike texts; that of the picture counts"
            )
        unknown = sorted(self._by_name - self._found)
        if unknown:
            notices.append(
                f"{len(unknown)} of {len(self._by_name)} captions in {CAPTION_MAP} name no pair "
                f"and are not read, such as that of {unknown[0]!r}"
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


def _map(path: Path) -> dict[str, tuple[str, ...]]:
    """The captions of an object by the name of a clip.

    Empty where the file holds rows. Raises: DataError for a file that is not JSON.
    """
    try:
        value = parse_json(read_text(path))
    except (OSError, ValueError) as error:
        raise DataError(f"{path.name} is not readable as JSON ({said(error)})") from None
    if not isinstance(value, dict) or isinstance(value.get("samples"), list):
        return {}
    found = {}
    for name, given in value.items():
        if isinstance(given, dict):
            given = next((given[key] for key in ("captions", *_CAPTION_KEYS) if key in given), None)
        texts = [given] if isinstance(given, str) else given
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise DataError(
                f"{path.name}: {name!r} is {kind_of(given)}; expected text or texts "
                "by a clip's name; rename the file if it holds something else"
            )
        texts = [text for text in texts if text.strip()]
        if texts:
            clean = (canonical(text.strip().replace("\0", "")) for text in texts)
            found[canonical(name)] = tuple(dict.fromkeys(clean))
    return found


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
