"""docs/data.md against the code: reasons, flags, findings, kinds, endings and their limits."""

import re
from pathlib import Path

import pytest

from core.audit.finding import Kind
from core.data.ingest.endings import AUDIO_SUFFIXES, IMAGE_SUFFIXES
from core.data.ingest.kinds import KINDS
from core.data.items import SELECTION_REASONS, Reason
from core.data.media.decode_audio import MIN_DURATION_S
from core.data.media.decode_image import MAX_PIXELS, MIN_SIDE_PX
from core.data.media.near_duplicates import MAX_PICTURE_BITS, MIN_SOUND_SIMILARITY
from core.data.media.quality import (
    CANCELLED_DB,
    CLIPPED_SHARE,
    FLAT_LUMA_SPREAD,
    NEAR_SILENT_DBFS,
    Flag,
)
from core.data.splits.caption_groups import CLIPS_A_GROUP, MOST_GROUPS
from core.data.splits.make import DEFAULT_CAP

PAGE = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")


def table(head: str) -> dict[str, str]:
    """First cell to second of the one table with this head."""
    (rows,) = re.findall(rf"^\| {head} \|.*\n\|[ -|]*\n((?:\|.*\n)+)", PAGE, re.M)
    cells = [row.strip("| ").split(" | ", 1) for row in rows.splitlines()]
    return {names.strip(): said for names, said in cells}


def names_of(head: str) -> set[str]:
    """Every `name` in the first cells of a table."""
    return set(re.findall(r"`(\w+)`", " ".join(table(head))))


def paragraph(start: str) -> str:
    """The paragraph that begins with these words."""
    return PAGE[PAGE.index(start) :].split("\n\n")[0]


def test_every_reason_for_leaving_out_is_on_the_page() -> None:
    """Catches: a reason in a manifest that nobody can look up, or one that is gone."""
    of_ingest = set(re.findall(r"`([a-z_]+)`", paragraph("Reasons that ingest gives")))
    named = of_ingest | names_of("reason") | {Reason.BY_HAND.value}
    assert named == {reason.value for reason in Reason}
    what = re.search(r"was not asked for \(([^)]*)\)", PAGE.replace("\n", " "))
    assert what is not None
    not_counted = set(re.findall(r"`([a-z_]+)`", what[1]))
    assert not_counted == {reason.value for reason in SELECTION_REASONS}


def test_every_flag_finding_and_kind_is_on_the_page() -> None:
    """Catches: a flag, a finding of the audit or a kind of source without a word on it."""
    assert names_of("flag") == {flag.value for flag in Flag}
    assert names_of("finding") == {kind.value for kind in Kind}
    (rows,) = re.findall(r"^\| kind \| what it looks like.*\n.*\n((?:\|.*\n)+)", PAGE, re.M)
    assert re.findall(r"^\| `(\w+)`", rows, re.M) == [kind.name for kind in KINDS]


def test_the_endings_on_the_page_are_those_that_are_read() -> None:
    """Catches: an ending that is promised and refused, or read and not said."""
    said = paragraph("**Endings.**").replace("\n", " ")
    found = re.search(r"Sound: ([^;]*); pictures: ([^.]*)\.", said)
    assert found is not None
    for listed, read in zip(found.groups(), (AUDIO_SUFFIXES, IMAGE_SUFFIXES), strict=True):
        assert {f".{ending}" for ending in listed.split(", ")} == read


@pytest.mark.parametrize(
    ("head", "row", "limit"),
    [
        ("reason", "`short_audio`", f"less than {MIN_DURATION_S:g} s"),
        ("reason", "`huge_image`, `small_image`", f"more than {MAX_PIXELS // 10**6} megapixels"),
        ("reason", "`huge_image`, `small_image`", f"under {MIN_SIDE_PX} pixels"),
        ("flag", "`near_silent`", f"below {NEAR_SILENT_DBFS:g} dBFS"),
        ("flag", "`out_of_phase`", f"{CANCELLED_DB:g} dB or more below"),
        ("flag", "`clipped`", f"more than {CLIPPED_SHARE:.0%}".replace("%", " %")),
        ("flag", "`flat_image`", f"below {FLAT_LUMA_SPREAD:g} of 255"),
        ("flag", "`near_duplicate_audio`", f"a cosine of {MIN_SOUND_SIMILARITY:g} or more"),
        ("flag", "`near_duplicate_image`", f"at most {MAX_PICTURE_BITS} of 64 bits"),
    ],
)
def test_the_limits_on_the_page_are_those_of_the_code(head: str, row: str, limit: str) -> None:
    """Catches: a limit that was moved in the code and not on the page."""
    assert limit in table(head)[row]


def test_caps_and_groups_on_the_page_are_those_of_the_code() -> None:
    """Catches: another default cap, or another size of the groups of captions, than is said."""
    assert f"| cap | {DEFAULT_CAP} per class" in PAGE
    assert f"a group for every {CLIPS_A_GROUP} clips, {MOST_GROUPS} at most" in PAGE
