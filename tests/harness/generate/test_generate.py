"""Trained branches answer sounds: paired noise, repeatable images, sentences for mistakes."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from core.errors import DataError, MismatchError, UsageError
from harness.cli.main import app
from harness.generate.generate import GenerateOptions, generate, generate_again
from harness.generate.image_file import read_image
from harness.generate.sounds import Sound, SoundPart
from harness.generate.trained import loaded_branch

RATE = 48_000


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A low and a high tone as files."""
    import soundfile

    folder = tmp_path_factory.mktemp("sounds")
    time_S = np.arange(RATE) / RATE
    paths = []
    for name, hz in (("low.wav", 150.0), ("high.wav", 3_000.0)):
        soundfile.write(folder / name, 0.5 * np.sin(2 * np.pi * hz * time_S), RATE)
        paths.append(folder / name)
    return paths


def loaded(paths: list[Path]) -> list[Sound]:
    from harness.generate.sounds import windows_of

    return [windows_of(path, window_s=3.0, most=1)[0][0] for path in paths]


def test_an_image_comes_out_equal_again_from_its_own_parameters(
    finished: Any, sounds: list[Path], tmp_path: Path
) -> None:
    """Catches: an image that depends on the images next to it, or parameters that are not all."""
    options = GenerateOptions(num_draws=2, audio_scales=(1.0, 2.0), texts=("rain",), noise_seed=3)
    images, _ = generate([finished.folder], sounds=loaded(sounds), options=options, out=tmp_path)
    assert len(images) == 8
    results = finished.request.results
    for image in (images[0], images[-1]):
        again_HWC, is_equal = generate_again(image.path, results=results, device="cpu")
        assert is_equal
        with Image.open(image.path) as picture:
            np.testing.assert_array_equal(again_HWC, np.asarray(picture))
    first = {image.path.read_bytes() for image in images}
    assert len(first) == 8


def test_scale_0_ignores_the_sound_and_a_larger_one_does_not(
    finished: Any, sounds: list[Path], tmp_path: Path
) -> None:
    """Catches: a scale that is not in the sampler, or noise that differs by sound."""
    options = GenerateOptions(audio_scales=(0.0, 4.0))
    images, _ = generate([finished.folder], sounds=loaded(sounds), options=options, out=tmp_path)
    pixels = {
        (image.sound.label, image.parameters.audio_scale): read_image(image.path)[0].astype(int)
        for image in images
    }
    silent, conditioned = (
        np.abs(pixels["low.wav", scale] - pixels["high.wav", scale]).max() for scale in (0.0, 4.0)
    )
    assert silent == 0
    assert conditioned > 0


def test_other_weights_or_another_sound_are_refused(
    finished: Any, sounds: list[Path], tmp_path: Path
) -> None:
    """Catches: an image 'made again' from other files than it was made from."""
    results = tmp_path / "results"
    folder = results / "runs" / finished.folder.name
    shutil.copytree(finished.folder, folder)
    tone = shutil.copy(sounds[0], tmp_path / "tone.wav")
    (image,), _ = generate(
        [folder], sounds=loaded([Path(tone)]), options=GenerateOptions(), out=tmp_path / "out"
    )
    shutil.copy(sounds[1], tone)
    with pytest.raises(MismatchError, match="is not the sound"):
        generate_again(image.path, results=results, device="cpu")
    _, is_equal = generate_again(image.path, results=results, device="cpu", audio=[sounds[0]])
    assert is_equal
    with (folder / "weights.safetensors").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(MismatchError, match="is not the file"):
        generate_again(image.path, results=results, device="cpu", audio=[sounds[0]])
    with (
        pytest.raises(MismatchError, match=r"is not the file that .* wrote"),
        loaded_branch(folder, device="cpu"),
    ):
        pass


def test_a_picture_without_parameters_is_a_sentence(finished: Any, tmp_path: Path) -> None:
    """Catches: a traceback for any other PNG."""
    picture = tmp_path / "picture.png"
    Image.new("RGB", (8, 8)).save(picture)
    with pytest.raises(DataError, match="holds no parameters"):
        generate_again(picture, results=finished.request.results, device="cpu")
    picture.write_bytes(b"\x89PNG no more")
    with pytest.raises(DataError, match="cannot be read as a PNG"):
        generate_again(picture, results=finished.request.results, device="cpu")


def test_a_run_that_is_not_finished_or_fits_no_more_is_refused(
    finished: Any, tmp_path: Path
) -> None:
    """Catches: images from weights that are not the branch's."""
    folder = tmp_path / finished.folder.name
    shutil.copytree(finished.folder, folder)
    record = json.loads((folder / "record.json").read_text())
    record["identity"]["models"]["stable_diffusion"] = "f" * 64
    (folder / "record.json").write_text(json.dumps(record))
    with (
        pytest.raises((MismatchError, DataError)),
        loaded_branch(folder, device="cpu"),
    ):
        pass
    (folder / "record.json").write_text((finished.folder / "record.json").read_text())
    (folder / "weights.safetensors").unlink()
    with pytest.raises(UsageError, match="does not exist"), loaded_branch(folder, device="cpu"):
        pass


def test_a_branch_that_does_not_condition_on_sound_is_refused(
    small_request: Callable[..., Any], sounds: list[Path], tmp_path: Path
) -> None:
    """Catches: two equal images shown as a branch's answers to two sounds."""
    from harness.run.run import run
    from harness.wording.display import Display

    request = small_request(variant="text_only")
    record = run(request, display=Display())
    with pytest.raises(UsageError, match="does not condition on sound"):
        generate(
            [request.results / "runs" / record.run_id],
            sounds=loaded(sounds),
            options=GenerateOptions(),
            out=tmp_path,
        )


def test_the_command_writes_images_a_sheet_and_json(
    finished: Any, sounds: list[Path], tmp_path: Path
) -> None:
    """Catches: a command that a script cannot read, or images that nobody can see together."""
    words = ["generate", finished.record.run_id, "--results", str(finished.request.results)]
    mix = ["--mix", f"{sounds[0]}:0.5,{sounds[1]}:0.5", "--interpolate", "2"]
    out = ["--out", str(tmp_path / "out"), "--json"]
    done = CliRunner().invoke(app, [*words, "--audio", str(sounds[0]), *mix, *out])
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert len(printed["images"]) == 4
    weights = [[part["weight"] for part in image["sound"]] for image in printed["images"]]
    assert weights == [[1.0], [1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]
    assert all(Path(image["path"]).is_file() for image in printed["images"])
    (sheet,) = printed["sheets"]
    with Image.open(sheet) as picture:
        assert picture.size[1] > 4 * 192


def test_a_file_of_captions_samples_each_of_them(
    finished: Any, sounds: list[Path], tmp_path: Path
) -> None:
    """Catches: captions that overwrite each other's image, or a file that is ignored."""
    captions = tmp_path / "captions.txt"
    captions.write_text(
        "\ufeffa red engine\n\n  rain at night \r\na red engine\n", encoding="utf-8"
    )
    words = ["generate", finished.record.run_id, "--results", str(finished.request.results)]
    words += ["--audio", str(sounds[0]), "--prompt-file", str(captions), "--device", "cpu"]
    done = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "out"), "--json"])
    assert done.exit_code == 0, done.output
    images = json.loads(done.stdout)["images"]
    assert [image["text"] for image in images] == ["a red engine", "rain at night"]
    assert len({Path(image["path"]).read_bytes() for image in images}) == 2
    for more, sentence in (
        (["--text", "rain"], "cannot be combined"),
        (["--prompt-file", str(tmp_path / "none.txt")], "No such file"),
        (["--prompt-file", str(sounds[0])], "is not UTF-8 text"),
    ):
        refused = CliRunner().invoke(app, [*words, *more])
        assert sentence in str(refused.exception), refused.output


def test_a_recording_of_a_phone_is_read_by_pyav(tmp_path: Path) -> None:
    """Catches: an m4a that is refused, cut, or read at another pitch or level."""
    import av

    path = tmp_path / "recording.m4a"
    tone = 0.25 * np.sin(2 * np.pi * 440 * np.arange(2 * 44_100) / 44_100)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44_100, layout="stereo")
        for start in range(0, len(tone), 1_024):
            block = tone[start : start + 1_024].astype(np.float32)
            frame = av.AudioFrame.from_ndarray(
                np.stack([block, block]), format="fltp", layout="stereo"
            )
            frame.sample_rate = 44_100
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    (sound,) = loaded([path])
    assert len(sound.waveform_S) == pytest.approx(2 * RATE, rel=0.05)
    middle = sound.waveform_S[RATE // 2 : RATE // 2 + RATE]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert np.argmax(spectrum) == pytest.approx(440, abs=2)
    assert float(np.sqrt((middle**2).mean())) == pytest.approx(0.25 / np.sqrt(2), rel=0.05)


def test_a_sound_keeps_its_name_where_it_starts_in_its_file(sounds: list[Path]) -> None:
    """Catches: two windows of one file that look alike in a sheet."""
    (sound,) = loaded(sounds[:1])
    part = replace(sound.parts[0], start_s=10.0)
    assert sound.label == "low.wav"
    assert Sound((part,), sound.waveform_S).label == "low.wav @10 s"
    other = SoundPart(path=Path("rain.wav"), sha256="", weight=0.25)
    assert Sound((part, other), sound.waveform_S).label == "1 x low.wav + 0.25 x rain.wav"
