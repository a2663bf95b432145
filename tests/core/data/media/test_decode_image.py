"""Picture files: one conversion to RGB, and a reason for each refusal."""

import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from core.data.items import Reason
from core.data.media import decode_image as decoding
from core.data.media.decode_image import decode_image, inspect_image, to_square, to_vae_input
from core.data.media.errors import MediaError


def ramp(width=32, height=24):
    """uint8 [H, W, 3], different in every row, column and channel."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 7, y * 9, x * 3 + y * 4], axis=-1).astype(np.uint8)


def reason_of(path):
    with pytest.raises(MediaError) as caught:
        inspect_image(path)
    assert str(path.parent) not in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.webp"])
def test_rgb_is_returned_as_it_is(tmp_path, name):
    """Catches: swapped channels or axes."""
    Image.fromarray(ramp()).save(tmp_path / name, lossless=True)
    np.testing.assert_array_equal(decode_image(tmp_path / name), ramp())


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (3, lambda x: x[::-1, ::-1]),
        (6, lambda x: np.rot90(x, 1)),
        (8, lambda x: np.rot90(x, -1)),
        (2, lambda x: x[:, ::-1]),
    ],
)
def test_exif_orientation_is_applied(tmp_path, orientation, turn):
    """Catches: pictures from a phone lying on their side."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(turn(ramp()))).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(decode_image(tmp_path / "a.png"), ramp())


def test_sixteen_bits_are_scaled_to_eight(tmp_path):
    """Catches: clipping at 255, which turns a 16-bit picture white."""
    values = np.linspace(0, 65535, 32 * 24).astype(np.uint16).reshape(24, 32)
    Image.fromarray(values).save(tmp_path / "deep.png")
    expected = np.rint(values.astype(np.float64) * 255 / 65535).astype(np.uint8)
    np.testing.assert_array_equal(
        decode_image(tmp_path / "deep.png"), np.repeat(expected[..., None], 3, axis=-1)
    )


def test_greyscale_fills_three_channels(tmp_path):
    """Catches: a picture of one channel reaching the VAE."""
    grey = ramp()[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(decode_image(tmp_path / "grey.png"), np.stack([grey] * 3, -1))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_on_white(tmp_path, mode):
    """Catches: the colour hidden under full transparency showing through."""
    pixels = np.zeros((24, 32, 4), np.uint8)
    pixels[:, 16:] = (255, 0, 0, 255)
    image = Image.fromarray(pixels)
    if mode == "P":
        image = image.convert("RGB").quantize(4)
        image.info["transparency"] = image.getpixel((0, 0))
        image.save(tmp_path / "a.png", transparency=image.getpixel((0, 0)))
    else:
        image.convert(mode).save(tmp_path / "a.png")
    got = decode_image(tmp_path / "a.png")
    assert got.shape == (24, 32, 3)
    assert (got[:, :16] == 255).all()
    grey = 76  # luma of pure red
    np.testing.assert_array_equal(got[0, 20], (grey,) * 3 if mode == "LA" else (255, 0, 0))


def test_half_transparency_is_mixed_with_white(tmp_path):
    """Catches: an alpha channel that is merely cut off."""
    Image.new("RGBA", (32, 24), (0, 0, 255, 128)).save(tmp_path / "a.png")
    np.testing.assert_allclose(decode_image(tmp_path / "a.png")[0, 0], (127, 127, 255), atol=1)


def test_palette_colours_are_looked_up(tmp_path):
    """Catches: palette indices taken for grey values."""
    pixels = np.zeros((24, 32, 3), np.uint8)
    pixels[:, 16:] = (10, 200, 30)
    Image.fromarray(pixels).quantize(4).save(tmp_path / "a.gif")
    np.testing.assert_array_equal(decode_image(tmp_path / "a.gif"), pixels)


def test_cmyk_is_converted(tmp_path):
    """Catches: a four-channel jpg, or inverted inks."""
    Image.new("CMYK", (32, 24), (0, 255, 255, 0)).save(tmp_path / "ink.jpg", quality=100)
    np.testing.assert_allclose(decode_image(tmp_path / "ink.jpg")[5, 5], (255, 0, 0), atol=3)


def test_a_bilevel_picture_becomes_black_and_white(tmp_path):
    """Catches: truth values 0 and 1 taken for nearly black."""
    Image.fromarray(ramp()[..., 0] > 100).save(tmp_path / "fax.png")
    assert set(np.unique(decode_image(tmp_path / "fax.png"))) == {0, 255}


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_a_picture_cut_in_half_is_refused(tmp_path, name):
    """Catches: Pillow's switch that fills the rest with grey."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = tmp_path / name
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert reason_of(path) is Reason.UNDECODABLE_IMAGE


@pytest.mark.parametrize("content", [b"", b"<html></html>", b"\xff\xd8\xff\xe0" + b"\0" * 500])
def test_what_is_no_picture_is_refused(tmp_path, content):
    """Catches: an empty file or an error page saved as .jpg."""
    (tmp_path / "a.jpg").write_bytes(content)
    assert reason_of(tmp_path / "a.jpg") is Reason.UNDECODABLE_IMAGE


@pytest.mark.parametrize("size", [(1, 1), (15, 400)])
def test_a_tiny_picture_is_refused(tmp_path, size):
    """Catches: a tracking pixel scaled up to a training picture."""
    Image.new("RGB", size).save(tmp_path / "a.png")
    assert reason_of(tmp_path / "a.png") is Reason.SMALL_IMAGE


@pytest.mark.parametrize("side", [8_001, 9_500, 30_000])
def test_an_image_bomb_is_refused_before_decoding(tmp_path, side, monkeypatch):
    """Catches: a few bytes that unfold to gigabytes, and Pillow's warning passing for a refusal."""

    def chunk(name, body):
        check = zlib.crc32(name + body)
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", check)

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(bytes(side)))
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + data + chunk(b"IEND", b""))
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("the picture was decoded"))
    assert reason_of(path) is Reason.HUGE_IMAGE


def test_floating_point_pixels_are_refused(tmp_path):
    """Catches: a guess at the range of a depth map."""
    Image.fromarray(np.zeros((24, 32), np.float32)).save(tmp_path / "depth.tif")
    assert reason_of(tmp_path / "depth.tif") is Reason.UNSUPPORTED_FORMAT


def test_the_square_is_the_centre_of_either_orientation():
    """Catches: a crop from the corner, or a squeezed picture."""
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 200
    assert (to_square(wide, size=16) == 200).all()
    assert (to_square(np.ascontiguousarray(wide.transpose(1, 0, 2)), size=16) == 200).all()


def test_a_picture_of_the_right_size_is_untouched():
    """Catches: a resampling that softens pictures which already fit."""
    square = ramp(24, 24)
    np.testing.assert_array_equal(to_square(square, size=24), square)


def test_the_reduction_is_pillows_lanczos():
    """Catches: another filter, or one without antialiasing."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    expected = Image.fromarray(noise).resize((16, 16), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(to_square(noise, size=16), np.asarray(expected))


def test_vae_input_spans_minus_one_to_one():
    """Catches: [0, 1] values, or channels last."""
    pixels = np.zeros((16, 20, 3), np.uint8)
    pixels[..., 2] = 255
    got = to_vae_input(pixels)
    assert got.shape == (3, 16, 20)
    assert got.dtype == torch.float32
    assert got[0].eq(-1).all()
    assert got[2].eq(1).all()


def test_large_pictures_are_converted_in_strips_to_the_same_pixels(tmp_path, monkeypatch):
    """Catches: seams, or another white, where memory is spared."""
    rng = np.random.default_rng(0)
    pictures = {
        "alpha.png": Image.fromarray(rng.integers(0, 256, (90, 70, 4), np.uint8), "RGBA"),
        "deep.png": Image.fromarray(rng.integers(0, 65536, (90, 70)).astype(np.uint16)),
        "palette.png": Image.fromarray(rng.integers(0, 256, (90, 70, 3), np.uint8)).quantize(16),
    }
    pictures["palette.png"].info["transparency"] = 3
    for name, picture in pictures.items():
        picture.save(tmp_path / name)
        whole, facts = decode_image(tmp_path / name), inspect_image(tmp_path / name)
        with monkeypatch.context() as small:
            small.setattr(decoding, "_STRIP_PIXELS", 70 * 7)
            np.testing.assert_array_equal(decode_image(tmp_path / name), whole)
            assert inspect_image(tmp_path / name) == facts
        grey = np.asarray(Image.fromarray(whole).convert("L"))
        assert facts.luma_spread == pytest.approx(grey.std())


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "I;16", "P", "L"])
def test_the_largest_picture_takes_bounded_memory(tmp_path, mode):
    """Catches: 1.5 GB for a picture of which the limit promises 192 MB."""
    path = tmp_path / "large.png"
    Image.new(mode, (8000, 7800), 0).save(path, compress_level=1)
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from core.data.media.decode_image import inspect_image\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "inspect_image(Path(sys.argv[1]))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 650_000  # KiB
