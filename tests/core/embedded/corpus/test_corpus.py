"""The procedural corpus: repeatable pairs whose attributes can be heard and seen."""

import numpy as np
import pytest

from core.embedded.corpus.classes import ATTRIBUTES, CLASS_COUNTS, CLASSES, Attributes, caption
from core.embedded.corpus.pairs import make_pair, pair_attributes, pair_clip, pair_image
from core.embedded.corpus.picture import draw_image
from core.embedded.corpus.sound import SAMPLE_RATE_HZ, synthesise_clip
from core.randomness import rng

NUM_LISTENED = 24


def _levels_db(clip: np.ndarray, *, low_hz: float, high_hz: float) -> float:
    power = np.abs(np.fft.rfft(clip)) ** 2
    frequency_hz = np.fft.rfftfreq(len(clip), 1 / SAMPLE_RATE_HZ)
    within = (frequency_hz >= low_hz) & (frequency_hz < high_hz)
    return float(10 * np.log10(power[within].sum() / power.sum() + 1e-12))


def _loudness(clip: np.ndarray) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(np.square(clip, dtype=np.float64)))))


def _log_centroid(clip: np.ndarray, *, low_hz: float = 40.0) -> float:
    power = np.abs(np.fft.rfft(clip)) ** 2
    frequency_hz = np.fft.rfftfreq(len(clip), 1 / SAMPLE_RATE_HZ)
    within = (frequency_hz > low_hz) & (frequency_hz < 7_000)
    return float((power[within] * np.log2(frequency_hz[within])).sum() / power[within].sum())


def _peak_time(clip: np.ndarray) -> float:
    spectrum = np.fft.rfft(clip)
    spectrum[np.fft.rfftfreq(len(clip), 1 / SAMPLE_RATE_HZ) > 7_500] = 0
    energy = np.square(np.fft.irfft(spectrum, len(clip))).reshape(60, -1).mean(axis=1)
    return float(np.convolve(energy, np.ones(7), mode="same").argmax())


def _correlation(cls: str, attribute: str, heard: list[float]) -> float:
    truth = [
        getattr(pair_attributes(cls, seed=0, namespace="test", index=k), attribute)
        for k in range(len(heard))
    ]
    return float(np.corrcoef(truth, heard)[0, 1])


@pytest.mark.parametrize("cls", CLASSES)
def test_every_attribute_can_be_heard_in_every_class(cls: str) -> None:
    """Catches: a voice that drops an attribute, so that listening could not pay in that class."""
    clips = [pair_clip(cls, seed=0, namespace="test", index=k) for k in range(NUM_LISTENED)]
    # Fire's roar lies below its crackle and does not follow pitch.
    low_hz = 400.0 if cls == "fire" else 40.0
    assert _correlation(cls, "intensity", [_loudness(c) for c in clips]) > 0.98
    assert _correlation(cls, "pitch", [_log_centroid(c, low_hz=low_hz) for c in clips]) > 0.9
    hiss = [_levels_db(c, low_hz=9_500, high_hz=24_000) for c in clips]
    assert _correlation(cls, "hiss", hiss) > 0.95
    assert _correlation(cls, "onset", [_peak_time(c) for c in clips]) > 0.95


@pytest.mark.parametrize("cls", CLASSES)
def test_every_attribute_can_be_seen_in_every_class(cls: str) -> None:
    """Catches: a picture that ignores one of the attributes its sound carries."""
    middle = {"pitch": 0.5, "intensity": 0.5, "hiss": 0.5, "onset": 0.5}

    def picture(**changed: float) -> np.ndarray:
        attributes = Attributes(**{**middle, **changed})
        return draw_image(cls, attributes, rng(0, "test", cls)).astype(np.float64)

    saturation = {
        value: np.ptp(picture(intensity=value), axis=2).sum() for value in (0.0, 0.5, 1.0)
    }
    assert saturation[0.0] < saturation[0.5] < saturation[1.0]
    dark, bright = picture(hiss=0.0)[:4].mean(), picture(hiss=1.0)[:4].mean()
    assert bright - dark > 100
    columns = np.arange(64)
    centres = []
    for value in (0.0, 0.5, 1.0):
        colourful = np.ptp(picture(onset=value)[:46], axis=2) ** 2
        centres.append(float((colourful.sum(axis=0) * columns).sum() / colourful.sum()))
    assert centres[0] + 8 < centres[1] < centres[2] - 8
    red, blue = picture(pitch=0.0), picture(pitch=0.8)
    assert (red[..., 0] - red[..., 2]).max() > 60
    assert (blue[..., 2] - blue[..., 0]).max() > 60


def test_pairs_are_pure_functions_of_seed_namespace_and_index() -> None:
    """Catches: hidden generator state, and namespaces that share draws."""
    first = make_pair("fire", seed=3, namespace="a", index=5)
    pair_image("rain", seed=3, namespace="a", index=1)
    again = make_pair("fire", seed=3, namespace="a", index=5)
    np.testing.assert_array_equal(first.clip, again.clip)
    np.testing.assert_array_equal(first.image, again.image)
    for other in (
        make_pair("fire", seed=4, namespace="a", index=5),
        make_pair("fire", seed=3, namespace="b", index=5),
        make_pair("fire", seed=3, namespace="a", index=6),
    ):
        assert other.attributes != first.attributes


def test_clips_and_pictures_have_the_promised_form() -> None:
    """Catches: clipping, a wrong length or type, and silence."""
    for cls in CLASSES:
        loudest = Attributes(pitch=0.5, intensity=1.0, hiss=1.0, onset=0.0)
        clip = synthesise_clip(cls, loudest, rng(0, "test", cls))
        assert clip.dtype == np.float32
        assert clip.shape == (144_000,)
        assert np.abs(clip).max() < 1.0
        # Full scale cuts few samples, at the loudest.
        assert np.mean(np.abs(clip) > 0.998) < 0.03
        image = draw_image(cls, loudest, rng(0, "test", cls))
        assert image.dtype == np.uint8
        assert image.shape == (64, 64, 3)


def test_pictures_vary_beyond_their_attributes() -> None:
    """Catches: pictures that are a lookup of their attributes, which no real picture is; one
    landscape behind them all."""
    attributes = Attributes(pitch=0.5, intensity=0.5, hiss=0.5, onset=0.5)
    one, two = (draw_image("fire", attributes, rng(0, "test", k)) for k in range(2))
    assert np.abs(one.astype(int) - two).mean() > 1.0
    assert (one[-1] != two[-1]).any()  # the ground, below every subject


def test_captions_name_the_class_and_nothing_else() -> None:
    """Catches: a caption that leaks what only the sound should tell."""
    assert caption("dog_barking") == "A scene with dog barking sound"
    assert sum(CLASS_COUNTS.values()) == 664
    assert len(ATTRIBUTES) == 4


def test_an_unknown_class_is_refused_with_the_known_ones() -> None:
    """Catches: a bare KeyError for a user's typing mistake."""
    attributes = Attributes.draw(rng(0, "test"))
    for make in (draw_image, synthesise_clip):
        with pytest.raises(ValueError, match=r"no class named 'cat'; known: .*fire"):
            make("cat", attributes, rng(0, "test"))


def test_attributes_outside_the_unit_interval_are_refused() -> None:
    """Catches: a silent extrapolation that draws nonsense."""
    with pytest.raises(ValueError, match=r"pitch is 1\.5"):
        Attributes(pitch=1.5, intensity=0.0, hiss=0.0, onset=0.0)
