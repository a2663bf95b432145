"""What `harness data clean` prints: what was kept, what was left out and why."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from core.data.items import DataKind
from core.data.manifest import Manifest
from core.data.media.quality import MEANINGS
from harness.data.clean import Cleaning, flag_counts, flagged_by_class, num_media_files
from harness.wording.plain_text import plain


def cleaning_view(cleaning: Cleaning, *, is_usable: bool) -> RenderableType:
    """For a person; the next step is named where there can be one."""
    manifest = cleaning.manifest
    num_kept, num_left = len(manifest.samples), len(manifest.exclusions)
    flagged = flagged_by_class(manifest)
    what = "label" if manifest.kind is DataKind.LABELS else "class"
    classes = Table(what, "kept", "flagged", title="Kept", title_justify="left")
    for name, number in manifest.class_counts().items():
        classes.add_row(Text(plain(name)), str(number), str(flagged[name] or ""))
    parts: list[RenderableType] = [
        Text(
            f"{num_kept} kept + {num_left} left out = {manifest.num_input} items "
            f"({num_media_files(manifest)} media files)",
            style="bold",
        ),
    ]
    if manifest.kind is not DataKind.CAPTIONS:
        parts.append(classes)
    if num_left:
        parts.append(_reasons(manifest))
    flags = flag_counts(manifest)
    if flags:
        remarks = Table("flag", "pairs", "meaning", title="Kept, but check", title_justify="left")
        for flag, number in flags.items():
            remarks.add_row(flag.value, str(number), MEANINGS[flag])
        parts.append(remarks)
    num_copies = sum(item.duplicate_of is not None for item in manifest.items)
    if num_copies:
        have = "pair has" if num_copies == 1 else "pairs have"
        parts.append(
            Text(
                f"{num_copies} {have} the identical sound or picture of another; a split keeps "
                "them together."
            )
        )
    parts.append(Text(f"see and listen: {cleaning.page}"))
    if is_usable:
        parts.append(
            Text(
                f"next: harness data audit {cleaning.folder}  (likely mislabels, shared clips)\n"
                f"then: harness data split {cleaning.folder} --out LOCK.json"
            )
        )
    return Group(*parts)


def _reasons(manifest: Manifest) -> Table:
    table = Table("reason", "items", "such as", title="Left out", title_justify="left")
    first = {item.reason: item for item in reversed(manifest.exclusions)}
    for reason, number in manifest.reason_counts().items():
        example = f"{plain(first[reason].id)}: {plain(first[reason].detail)}"
        table.add_row(reason.value, str(number), Text(example, overflow="fold"))
    return table
