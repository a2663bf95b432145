"""What the ending of a file's name says: read, known and not read, a leftover, or unknown."""

from collections.abc import Sequence

from core.data.items import Reason

AUDIO_SUFFIXES = frozenset(
    {".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2", ".mpga"}
)
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".png", ".apng", ".webp", ".bmp", ".dib"}
    | {".tif", ".tiff", ".gif"}
)
VIDEO_SUFFIXES = frozenset({".mp4", ".mkv", ".avi", ".mov", ".webm"})
"""Read by the kinds of source that cut clips out of videos, refused by all others."""
LEFTOVER_SUFFIXES = frozenset({".part", ".ytdl", ".webm", ".temp", ".tmp", ".crdownload"})
OTHER_MEDIA_SUFFIXES = frozenset(
    {".m4a", ".aac", ".wma", ".aif", ".aiff", ".aifc", ".caf", ".amr", ".3ga", ".ac3", ".weba"}
    | {".au", ".snd", ".mid", ".midi", ".ape", ".wv", ".m4b", ".mka", ".sph", ".w64", ".raw"}
    | {".mp4", ".mkv", ".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".flv", ".3gp", ".3g2", ".ts"}
    | {".mts", ".m2ts", ".wmv", ".ogv", ".vob", ".asf", ".rm"}
    | {".heic", ".heif", ".avif", ".jxl", ".jp2", ".j2k", ".svg", ".psd", ".ico", ".dng"}
    | {".cr2", ".nef", ".arw", ".ppm", ".pgm", ".tga", ".exr", ".hdr"}
)
SHARD_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
CAPTION_SUFFIXES = frozenset({".txt", ".caption"})
"""Text beside a pair that may describe it, as trainers of image models expect it."""
CAPTION_MAP = "captions.json"
"""Captions by the name of a clip, or rows as in the lists below."""
CAPTION_LISTS = frozenset({"metadata.jsonl", "metadata.csv", CAPTION_MAP})
"""Rows `file_name` and `text`, as Hugging Face's folder builders read them."""
_TEXT_SUFFIXES = frozenset(
    {".json", ".jsonl", ".csv", ".tsv", ".md", ".rst", ".toml", ".yaml", ".yml", ".xml", ".html"}
    | {".htm", ".log", ".ini", ".cfg", ".lock", ".py", ".sh", ".bat", ".srt", ".vtt", ".lab"}
    | {".pdf", ".parquet", ".cls", ".info", ".sha256", ".md5", ".url"}
)
_SYSTEM_FOLDERS = frozenset(
    {"__macosx", "$recycle.bin", "system volume information", "lost+found", "found.000"}
    | {"@eadir", "@tmp", "#recycle", "#snapshot", "__pycache__"}
)
"""What a Mac's zip, file systems of Windows and Linux, and network drives put next to data."""
_SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini", "readme", "license", "licence", "makefile"})


def suffix_of(name: str) -> str:
    """The ending of a file's name in small letters, with its dot; empty where there is none."""
    stem, dot, ending = name.rpartition(".")
    return f".{ending}".lower() if dot and stem.strip(".") else ""


def is_text(name: str) -> bool:
    """Whether the name says text or a file of the system: no input, whoever else reads it."""
    is_known_text = suffix_of(name) in _TEXT_SUFFIXES | CAPTION_SUFFIXES
    return is_known_text or name.lower() in _SYSTEM_FILES


def is_ours_to_read(folder: str) -> bool:
    """Whether a folder of this name may hold a user's data: neither hidden nor a system's own."""
    return not folder.startswith(".") and folder.lower() not in _SYSTEM_FOLDERS


def is_of_system(parts: Sequence[str]) -> bool:
    """Whether a file, by the parts of its path, is a system's own: it lies in such a folder, or is
    the `._name` in which a Mac keeps what another file system has no place for."""
    return parts[-1].startswith("._") or any(p.lower() in _SYSTEM_FOLDERS for p in parts[:-1])


OF_SYSTEM = (
    Reason.SYSTEM_FILE,
    "written by an operating system or a network drive, not data",
)


def why_not_read(name: str) -> tuple[Reason, str] | None:
    """Why a file of this name is not a sound or picture that we read; None where it may be one."""
    suffix = suffix_of(name)
    if suffix in LEFTOVER_SUFFIXES:
        return (
            Reason.LEFTOVER,
            "a leftover of a download or of another program, not a finished file",
        )
    known = f"{', '.join(sorted(AUDIO_SUFFIXES))} or {', '.join(sorted(IMAGE_SUFFIXES))}"
    if suffix in OTHER_MEDIA_SUFFIXES:
        return Reason.UNSUPPORTED_FORMAT, f"{suffix} files are not read; convert it to {known}"
    if suffix in AUDIO_SUFFIXES | IMAGE_SUFFIXES:
        return None
    what = f"the ending {suffix} is not known" if suffix else "the name has no ending"
    return (
        Reason.UNKNOWN_ENDING,
        f"{what}; it cannot be part of a pair. A sound or picture is named {known}",
    )
