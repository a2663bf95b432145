"""The kinds of sources there are, and which of them a path is."""

from core.data.ingest import (
    class_folders,
    clip_lists,
    metadata_folder,
    paired_folders,
    shards,
    videos,
)
from core.data.ingest.source import Options, Place, SourceKind
from core.errors import DataError, UsageError, suggestion

KINDS: tuple[SourceKind, ...] = (
    metadata_folder.KIND,
    class_folders.KIND,
    paired_folders.KIND,
    clip_lists.VGGSOUND,
    clip_lists.AUDIOCAPS,
    clip_lists.AUDIOSET,
    clip_lists.VGGSOUNDER,
    videos.KIND,
    shards.KIND,
)
LAYOUTS = "understood layouts:\n" + "\n".join(f"  {kind.name}: {kind.summary}" for kind in KINDS)


def kind_of(place: Place, options: Options, *, name: str | None = None) -> SourceKind:
    """The kind called `name`, or else the one kind that claims the path.

    Raises: UsageError for an unknown name or a path that several kinds claim; DataError for a path
    that is missing, or that no kind claims.
    """
    if not place.resolved.exists():
        raise DataError(f"no folder or file {place.path}; expected a source of media. {LAYOUTS}")
    if name is not None:
        found = next((kind for kind in KINDS if kind.name == name), None)
        if found is None:
            names = [kind.name for kind in KINDS]
            raise UsageError(
                f"no kind of source {name!r}; known: {', '.join(names)}{suggestion(name, names)}"
            )
        return found
    claiming = [kind for kind in KINDS if kind.claims(place, options)]
    if len(claiming) > 1:
        names = [kind.name for kind in claiming]
        raise UsageError(
            f"{place.path} can be read as {' or as '.join(names)}; say which with --kind, such as "
            f"--kind {names[0]}"
        )
    if not claiming:
        holds = "holds no media and no metadata row" if place.is_folder else "is not a known source"
        raise DataError(f"{place.path} {holds}. {LAYOUTS}")
    return claiming[0]
