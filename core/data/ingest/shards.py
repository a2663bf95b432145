"""WebDataset shards, read as a stream: consecutive members of one key are one sample.

The key is the member's name up to the first dot of its last part, the rest is its ending. Where no
member of a key has an ending that we know, but some end in one (`Y1_30.000_40.000.wav`), the names
hold dots of their own and are divided at the last one, in a second pass over the shard.
Nothing is unpacked under a name the archive chose, so no member can leave DIR/media; members that
try, links, devices and oversized ones are excluded with their reasons all the same.
"""

import lzma
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any, Self

from core.data.ingest.captions import unread
from core.data.ingest.endings import (
    AUDIO_SUFFIXES,
    IMAGE_SUFFIXES,
    SHARD_SUFFIXES,
    VIDEO_SUFFIXES,
    suffix_of,
)
from core.data.ingest.made_media import MadePair
from core.data.ingest.members import printable, problem_of
from core.data.ingest.merge import joined
from core.data.ingest.rows import kind_of, parse_json
from core.data.ingest.scan import Scan, make_scan
from core.data.ingest.source import Options, Place, SourceKind
from core.data.ingest.video_cut import cut_pair
from core.data.ingest.videos import labelled, unmapped
from core.data.items import Item, Reason, Status, excluded
from core.data.media.errors import MediaError
from core.errors import DataError
from core.text import canonical, decode_text

_TEXT_SUFFIXES = frozenset({".json", ".txt", ".cls"})
_MEDIA_SUFFIXES = AUDIO_SUFFIXES | IMAGE_SUFFIXES | VIDEO_SUFFIXES
_MAX_TEXT_BYTES = 1 << 20
_MAX_HEADER_BYTES = 1 << 20
_MAX_RATIO, _ALWAYS_READ_BYTES = 200, 256 << 20
"""Silence and blank pictures shrink to a hundredth; what unpacks to more is a bomb."""
_LABEL_KEYS = ("class", "label", "class_name")
_CAPTION_KEYS = ("text", "caption")
_SOURCE_KEYS = ("video_id", "youtube_id", "source")
_READ_ERRORS = (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError, ValueError)


class _BoundedInfo(tarfile.TarInfo):
    """Refuses headers that tarfile would read into memory whole, whatever size they claim."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        info = super().frombuf(buf, encoding, errors)
        is_plain = info.type in (*tarfile.SUPPORTED_TYPES, tarfile.REGTYPE)
        is_header = info.type in _LONG_HEADERS or not is_plain
        if is_header and info.size > _MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {info.size} bytes")
        return info


_LONG_HEADERS = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)


@dataclass
class _Entry:
    """The members of one key, in memory."""

    key: str
    media: dict[str, bytes] = field(default_factory=dict)
    """Endings and bytes of sounds, pictures and videos."""
    texts: dict[str, bytes] = field(default_factory=dict)
    """The same of json, txt and cls members."""
    problem: tuple[Reason, str] | None = None
    has_dotted: bool = False
    """Whether a member's ending is known only from its last dot on."""

    @property
    def is_dotted(self) -> bool:
        """Whether the names hold dots, so that the key was cut too early."""
        return self.has_dotted and not (self.media or self.texts or self.problem)


def _shards(place: Place) -> list[Path]:
    if not place.is_folder:
        return [place.resolved] if place.resolved.name.lower().endswith(SHARD_SUFFIXES) else []
    files = sorted(path for path in place.resolved.iterdir() if not path.name.startswith("._"))
    return [path for path in files if path.name.lower().endswith(SHARD_SUFFIXES) and path.is_file()]


def _claims(place: Place, options: Options) -> bool:
    return bool(_shards(place)) and not place.metadata_files


def _read(place: Place, options: Options) -> Scan:
    maker = options.require_maker("archives")
    shards = _shards(place)
    if not shards:
        raise DataError(f"{place.path} holds no shard ({', '.join(SHARD_SUFFIXES)})")
    items: list[Item] = []
    classes: set[str] = set()
    notices: list[str] = []
    for done, shard in enumerate(shards):
        if options.progress:
            options.progress("reading shards", done, len(shards))
        keys: set[str] = set()
        dotted: set[str] = set()
        for thing in _stream(shard, options, dotted=dotted):
            items.append(thing if isinstance(thing, Item) else _item(thing, shard, keys, options))
        if dotted:
            for thing in _stream(shard, options, dotted=dotted, is_second=True):
                if not isinstance(thing, Item):  # what is refused was told in the first pass
                    items.append(_item(thing, shard, keys, options))
            notices.append(
                f"{shard.name} has names with a dot, such as {min(dotted)!r} and what follows; "
                "they are divided at the last dot, WebDataset itself reads them up to the first"
            )
    classes = {item.class_name for item in items if item.class_name is not None}
    if options.progress:
        options.progress("reading shards", len(shards), len(shards))
    made = make_scan(maker.folder, items, classes=classes, notices=notices)
    if not place.is_folder:
        return made
    # Media that lie beside the shards are input too, and no part of any of them.
    found = place.found
    loose = found.loose(set(), detail="next to the shards, in none of them")
    unread_text = unread(found, because="the captions are those inside the shards")
    rest = make_scan(place.resolved, [*found.exclusions, *loose], classes=(), notices=unread_text)
    return (
        joined([made, rest]) if rest.items else replace(made, notices=(*made.notices, *unread_text))
    )


def _stream(
    shard: Path, options: Options, *, dotted: set[str], is_second: bool = False
) -> Iterator[_Entry | Item]:
    """Samples of a shard as they come, and what in it is refused.

    dotted: keys whose names hold dots; filled in the first pass, the only ones of the second.
    """
    entry: _Entry | None = None
    num_members = 0
    limit = max(_ALWAYS_READ_BYTES, _MAX_RATIO * shard.stat().st_size)
    try:
        with tarfile.open(shard, mode="r|*", tarinfo=_BoundedInfo) as archive:
            for member in archive:
                num_members += 1
                if member.offset_data + member.size > limit:
                    if entry is not None and entry.key != _key_and_ending(member.name)[0]:
                        yield from _whole(entry, dotted)
                        entry = None
                    raise tarfile.ReadError(
                        f"it unpacks to more than {limit:,} bytes, {_MAX_RATIO} times its size"
                    )
                # Else the archive keeps every header it has seen.
                archive.members = []  # type: ignore[attr-defined]
                if member.isdir():
                    continue
                problem = problem_of(member)
                if problem:
                    place = f"{shard.name}, member {num_members}"
                    yield excluded(f"{shard.name}/{printable(member.name)}", *problem, origin=place)
                    continue
                key, ending = _key_and_ending(member.name)
                if is_second:
                    if key not in dotted:
                        continue
                    key, ending = _key_and_last_ending(member.name)
                if entry is not None and entry.key != key:
                    yield from _whole(entry, dotted)
                    entry = None
                entry = entry or _Entry(key)
                _add(entry, member, archive, ending=ending, options=options)
    except _READ_ERRORS as error:
        # What was whole before the damage counts; the sample it hit is named with it.
        hit = f", within {entry.key!r}" if entry else ""
        detail = f"the archive breaks off after {num_members} members{hit}: {error}"
        yield excluded(shard.name, Reason.BROKEN_ARCHIVE, detail, origin=shard.name)
        return
    if entry is not None:
        yield from _whole(entry, dotted)


def _whole(entry: _Entry, dotted: set[str]) -> Iterator[_Entry]:
    if entry.is_dotted:
        dotted.add(entry.key)
    else:
        yield entry


def _key_and_ending(name: str) -> tuple[str, str]:
    """`a/b.c.jpg` -> (`a/b`, `.c.jpg`), as WebDataset divides names."""
    folder, _, last = name.removeprefix("./").rpartition("/")
    stem, dot, ending = last.partition(".")
    return (f"{folder}/{stem}" if folder else stem), (dot + ending).lower()


def _key_and_last_ending(name: str) -> tuple[str, str]:
    ending = suffix_of(name)
    return name.removeprefix("./")[: len(name.removeprefix("./")) - len(ending)], ending


def _add(
    entry: _Entry,
    member: tarfile.TarInfo,
    archive: tarfile.TarFile,
    *,
    ending: str,
    options: Options,
) -> None:
    is_text = ending in _TEXT_SUFFIXES
    is_media = ending in _MEDIA_SUFFIXES
    if not is_text and not is_media:
        entry.has_dotted |= suffix_of(member.name) in _TEXT_SUFFIXES | _MEDIA_SUFFIXES
        return  # features, masks and the like belong to others
    limit = _MAX_TEXT_BYTES if is_text else options.max_member_bytes
    if member.size > limit:
        detail = f"{member.name} has {member.size:,} bytes; at most {limit:,} are read"
        entry.problem = entry.problem or (Reason.HUGE_MEMBER, detail)
        return
    file = archive.extractfile(member)
    content = file.read() if file else b""
    if len(content) != member.size:
        raise tarfile.ReadError(f"{member.name} has {len(content)} of {member.size} bytes")
    target = entry.texts if is_text else entry.media
    if ending in target:
        entry.problem = (Reason.SEVERAL_FILES, f"two members are called {member.name}")
    target[ending] = content


def _item(entry: _Entry, shard: Path, keys: set[str], options: Options) -> Item:
    known: dict[str, Any] = {
        "source": entry.key.rpartition("/")[2],
        "origin": f"{shard.name}/{entry.key}",
    }
    id_ = entry.key.replace("/", ".")
    if entry.key in keys:
        detail = (
            f"{entry.key!r} comes twice in {shard.name}; the members of a sample must be adjacent"
        )
        return excluded(id_, Reason.REPEATED, detail, **known)
    keys.add(entry.key)
    if not id_:
        return excluded(shard.name, Reason.UNREADABLE, "a member's name has no stem", **known)
    if entry.problem:
        return excluded(id_, *entry.problem, **known)
    try:
        described = _described(entry)
    except ValueError as error:
        return excluded(id_, Reason.UNREADABLE, f"its text members: {error}", **known)
    known["source"] = described.source or known["source"]
    own = described.label
    label = options.label(id_, str(known["source"]), own=own)
    if label is None:
        detail = (
            "no .cls, no 'class' or 'label' in its .json that is text or a whole number, no "
            "--class and no --label-file row"
        )
        return excluded(id_, Reason.NO_LABEL, detail, **known)
    known |= labelled(label, caption=described.caption)
    if not options.is_mapped(label):
        return unmapped(id_, label, options, **known)
    return _made(id_, entry=entry, shard=shard, known=known, options=options)


@dataclass(frozen=True)
class _Description:
    label: str | None
    caption: str | None
    source: str | None


def _described(entry: _Entry) -> _Description:
    """What the text members say. Raises: ValueError for what is not text or JSON."""
    body: Any = {}
    if ".json" in entry.texts:
        body = parse_json(decode_text(entry.texts[".json"]))
    if not isinstance(body, Mapping):
        raise ValueError(f"the .json holds {kind_of(body)}; expected an object")
    return _Description(
        label=_plain(entry, ".cls") or _first(body, _LABEL_KEYS, is_one=True),
        caption=_plain(entry, ".txt") or _first(body, _CAPTION_KEYS, is_one=False),
        source=_first(body, _SOURCE_KEYS, is_one=True),
    )


def _plain(entry: _Entry, suffix: str) -> str | None:
    return _checked_text(decode_text(entry.texts.get(suffix, b"")), name=f"the {suffix}")


def _first(body: Mapping[str, Any], names: tuple[str, ...], *, is_one: bool) -> str | None:
    """The first of `names` that says something: text, a whole number, or a list of texts.

    is_one: a list of several means nothing; else its first counts.
    """
    for name in names:
        value = body.get(name)
        if isinstance(value, list) and value and (len(value) == 1 or not is_one):
            value = value[0]
        if value is None or value == [] or value == "":
            continue
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str):
            listed = f"a list of {len(value)}" if isinstance(value, list) else kind_of(value)
            raise ValueError(f"{name!r} is {listed}; expected text")
        text = _checked_text(value, name=repr(name))
        if text:
            return text
    return None


def _checked_text(text: str, *, name: str) -> str | None:
    if "\0" in text:
        raise ValueError(f"{name} holds NUL")
    text.encode()  # a lone surrogate cannot be written anywhere
    return canonical(text.strip()) or None


def _made(id_: str, entry: _Entry, shard: Path, known: Mapping[str, Any], options: Options) -> Item:
    sounds = sorted(AUDIO_SUFFIXES & set(entry.media))
    pictures = sorted(IMAGE_SUFFIXES & set(entry.media))
    videos = sorted(VIDEO_SUFFIXES & set(entry.media))
    several = next((group for group in (sounds, pictures, videos) if len(group) > 1), None)
    if several:
        detail = f"more than one file for one sample: {', '.join(several)}; keep one of them"
        return excluded(id_, Reason.SEVERAL_FILES, detail, **known)
    is_pair = bool(sounds and pictures)
    if not is_pair and not videos:
        missing = Reason.MISSING_AUDIO if not sounds else Reason.MISSING_IMAGE
        members = ", ".join(sorted(entry.media)) or "no media"
        detail = f"no {'sound' if not sounds else 'picture'} and no video: it has {members}"
        return excluded(id_, missing, detail, **known)
    maker = options.require_maker("archives")
    made_from: dict[str, Any] = {"shard": maker.stamp(shard), "key": entry.key}

    def make() -> MadePair:
        if is_pair:
            return MadePair(
                audio=entry.media[sounds[0]],
                audio_suffix=sounds[0],
                image=entry.media[pictures[0]],
                image_suffix=pictures[0],
            )
        return cut_pair(BytesIO(entry.media[videos[0]]), start_s=0.0, window_s=options.window_s)

    if not is_pair:
        made_from["window_s"] = options.window_s
    try:
        pair = maker.pair(made_from, name=id_, make=make)
    except MediaError as error:
        return excluded(id_, error.reason, str(error), **known)
    return Item(
        id_,
        Status.CANDIDATE,
        audio_path=pair.audio_path,
        image_path=pair.image_path,
        provenance={"shard": shard.name, "key": entry.key, **pair.provenance},
        **known,
    )


KIND = SourceKind(
    name="webdataset",
    summary="a tar shard, or a folder of them: <key>.wav next to <key>.jpg (or <key>.mp4), "
    "<key>.cls or <key>.json with the class; copied into DIR/media as they stream by",
    claims=_claims,
    read=_read,
)
