"""A JPEG without its end marker is whole; one that was cut short is not."""

from io import BytesIO
from pathlib import PurePath

import numpy as np
import pytest
from PIL import Image

from core.data.cleaning.clean import build_manifest
from core.data.items import Reason, Status
from core.data.media.decode_image import decode_image, inspect_image
from core.data.media.errors import MediaError
from core.data.media.jpeg_end import with_end_marker
from core.data.media.quality import Flag
from tests.core.data.test_bad_input import noise, write

WAYS = [
    {},
    {"progressive": True},
    {"quality": 100, "progressive": True},
    {"quality": 30, "optimize": True},
    {"restart_marker_blocks": 3},
    {"restart_marker_rows": 1, "progressive": True},
]


def landscape(width=161, height=120):
    """uint8 [H, W, 3]: a sky of slow change above ground of one shade, which codes to few bits."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x, y * 2, (x + y) // 2], axis=-1).astype(np.uint8)
    pixels[height // 2 :] = 40
    return pixels


def jpeg(pixels, **options):
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize("options", WAYS)
@pytest.mark.parametrize("num_bytes", [1, 2])
def test_a_picture_without_its_end_marker_is_read_whole(tmp_path, options, num_bytes):
    """Catches: a picture that every viewer shows whole thrown away for its last two bytes."""
    whole = jpeg(landscape(), **options)
    (tmp_path / "whole.jpg").write_bytes(whole)
    (tmp_path / "cut.jpg").write_bytes(whole[:-num_bytes])
    expected, facts = decode_image(tmp_path / "whole.jpg"), inspect_image(tmp_path / "whole.jpg")
    np.testing.assert_array_equal(decode_image(tmp_path / "cut.jpg"), expected)
    cut = inspect_image(tmp_path / "cut.jpg")
    assert cut.lacks_end_marker
    assert not facts.lacks_end_marker
    assert (cut.hash, cut.luma_spread) == (facts.hash, facts.luma_spread)


@pytest.mark.parametrize("options", WAYS)
def test_a_picture_that_lacks_a_block_is_refused_wherever_it_was_cut(options):
    """Catches: an end marker put behind half a picture, whose rest is then grey; at a restart, and
    between two scans of a progressive one, the stream looks whole."""
    whole = jpeg(landscape(), **options)
    expected = np.asarray(Image.open(BytesIO(whole)))
    for num_bytes in [*range(3, 200), *range(200, len(whole) - 600, 23)]:
        completed = with_end_marker(whole[:-num_bytes])
        if completed is not None:  # nothing but fill bits was missing
            np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(completed))), expected)
            assert num_bytes < 5


@pytest.mark.parametrize("options", WAYS)
def test_a_scan_that_was_never_sent_is_missed(options):
    """Catches: a progressive picture that ends after its first, coarse scans."""
    whole = jpeg(landscape(), **options)
    scans = [place for place in range(len(whole)) if whole[place : place + 2] == b"\xff\xda"]
    for place in scans:
        assert with_end_marker(whole[:place]) is None


@pytest.mark.parametrize("num_zeros", [20, 500, 20_000])
def test_a_file_that_was_made_at_full_size_and_loaded_in_half_is_refused(num_zeros):
    """Catches: the zeros of a download that stopped, which are codes too, taken for blocks."""
    whole = jpeg(landscape())
    assert with_end_marker(whole[: len(whole) // 2] + bytes(num_zeros)) is None
    assert with_end_marker(whole[:-2] + bytes(num_zeros)) is None


def test_cleaning_keeps_it_and_says_so(tmp_path):
    """Catches: a repair without a word, and a truncated picture let in by it."""
    folder = tmp_path / "m/rain"
    folder.mkdir(parents=True)
    content = jpeg(landscape())
    for name, end in (("whole", None), ("marker", -2), ("half", len(content) // 2)):
        write(folder / f"{name}.wav", noise(seed=len(name)), subtype="FLOAT")
        (folder / f"{name}.jpg").write_bytes(content[:end])
    found = build_manifest(tmp_path / "m", max_excluded_share=1).items
    items = {PurePath(str(item.audio_path)).stem: item for item in found}
    assert Flag.NO_END_MARKER in items["marker"].flags
    assert Flag.NEAR_DUPLICATE_IMAGE in {*items["marker"].flags, *items["whole"].flags}
    assert Flag.NO_END_MARKER not in items["whole"].flags
    assert items["half"].status is Status.EXCLUDED
    assert items["half"].reason is Reason.UNDECODABLE_IMAGE
    assert "cut short" in items["half"].detail
    with pytest.raises(MediaError, match="cut short"):
        decode_image(folder / "half.jpg")
