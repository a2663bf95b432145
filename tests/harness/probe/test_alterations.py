"""Each alteration changes what it names by what it says, and keeps the rest."""

import numpy as np
import pytest

from core.embedded.corpus.pairs import make_pair
from harness.metrics.scorers.judges import AudioJudge
from harness.probe.alterations import PROPERTIES, Property, Wave, altered

RATE = 48_000


def named(name: str) -> Property:
    return next(prop for prop in PROPERTIES if prop.name == name)


def tone(hz: float = 440.0, *, peak: float = 0.2, seconds: float = 1.0) -> Wave:
    time_S = np.arange(round(seconds * RATE)) / RATE
    return (peak * np.sin(2 * np.pi * hz * time_S)).astype(np.float32)


def loudest_hz(sound_S: Wave) -> float:
    spectrum = np.abs(np.fft.rfft(sound_S * np.hanning(len(sound_S))))
    return float(np.argmax(spectrum) * RATE / len(sound_S))


def rms(sound_S: Wave) -> float:
    return float(np.sqrt(np.mean(sound_S.astype(np.float64) ** 2)))


@pytest.mark.parametrize("prop", PROPERTIES, ids=lambda p: p.name)
def test_the_reference_level_is_the_sound_itself(prop: Property) -> None:
    """Catches: an alteration whose machinery alone already changes the sound."""
    sound = tone()
    kept = altered(sound, by=prop, level=prop.reference, second_S=tone(900))
    assert kept is not None
    np.testing.assert_array_equal(kept, sound)
    assert prop.levels == tuple(sorted(prop.levels))


@pytest.mark.parametrize(
    "prop", [p for p in PROPERTIES if not p.changes_level], ids=lambda p: p.name
)
def test_loudness_and_length_are_kept_where_they_are_not_what_changes(prop: Property) -> None:
    """Catches: a 'pitch' response that is one to loudness or length."""
    sound = tone()
    for level in prop.levels:
        changed = altered(sound, by=prop, level=level, second_S=tone(900, peak=0.6))
        assert changed is not None
        assert len(changed) == len(sound)
        assert rms(changed) == pytest.approx(rms(sound), rel=0.01)


def test_pitch_multiplies_frequencies_and_tempo_leaves_them() -> None:
    """Catches: semitones that are none; a stretch that shifts the pitch."""
    sound = tone(440)
    for semitones in (-8.0, 4.0, 8.0):
        shifted = altered(sound, by=named("pitch"), level=semitones, second_S=None)
        assert shifted is not None
        assert loudest_hz(shifted) == pytest.approx(440 * 2 ** (semitones / 12), rel=0.01)
    for level in (-1.0, 0.5):
        changed = altered(sound, by=named("tempo"), level=level, second_S=None)
        assert changed is not None
        assert loudest_hz(changed) == pytest.approx(440, rel=0.01)


def test_tempo_moves_events_by_its_factor() -> None:
    """Catches: a tempo that is not the factor that it says, or its inverse."""
    sound = np.zeros(RATE, dtype=np.float32)
    sound[RATE // 4 : RATE // 4 + 2_400] = tone(2_000, seconds=0.05)
    for level, expected_s in ((-1.0, 0.5), (1.0, 0.125)):
        changed = altered(sound, by=named("tempo"), level=level, second_S=None)
        assert changed is not None
        half = changed[: RATE // 2] if level > 0 else changed
        start = np.flatnonzero(np.abs(half) > 0.3 * np.abs(half).max())[0] / RATE
        assert start == pytest.approx(expected_s, abs=0.03)


def test_a_gain_that_passes_full_scale_is_left_out_and_not_turned_down() -> None:
    """Catches: +6 dB that is written and was not given."""
    quiet, loud = tone(peak=0.4), tone(peak=0.8)
    doubled = altered(quiet, by=named("gain"), level=6.0, second_S=None)
    assert doubled is not None
    assert rms(doubled) / rms(quiet) == pytest.approx(10 ** (6 / 20))
    assert altered(loud, by=named("gain"), level=6.0, second_S=None) is None


def test_reverberation_decays_and_noise_has_the_level_that_it_says() -> None:
    """Catches: a decay time or a noise level in another unit."""
    click = np.zeros(2 * RATE, dtype=np.float32)
    click[0] = 0.9
    wet = altered(click, by=named("reverberation"), level=0.6, second_S=None)
    assert wet is not None
    early, late = rms(wet[100:4_900]), rms(wet[100 + RATE * 3 // 10 : 4_900 + RATE * 3 // 10])
    assert 20 * np.log10(early / late) == pytest.approx(30, abs=2)  # 0.3 s of 0.6 s: 30 dB
    sound = tone(500)
    noisy = altered(sound, by=named("noise"), level=1.0, second_S=None)
    assert noisy is not None
    share = float(noisy @ sound / np.sqrt((noisy @ noisy) * (sound @ sound)))
    assert share == pytest.approx(1 / np.sqrt(2), abs=0.02)


def test_the_sound_judge_hears_each_alteration_in_the_attribute_it_changes() -> None:
    """Catches: alterations that do not reach what the corpus has as ground truth."""
    import torch

    from core.foundation.sources import resolve_source

    judge = AudioJudge(resolve_source("embedded:audio_judge"), device=torch.device("cpu"))
    clips = [
        make_pair(c, seed=5, namespace="probe", index=0).clip for c in ("siren", "rain", "fire")
    ]
    for name, attribute in (
        ("gain", "intensity"),
        ("pitch", "pitch"),
        ("noise", "hiss"),
        ("shift", "onset"),
    ):
        prop = named(name)
        read = []
        for level in (prop.levels[0], prop.levels[-1]):
            waves = [altered(c, by=prop, level=level, second_S=None) for c in clips]
            values = judge.attributes([w for w in waves if w is not None])
            read.append(values[:, judge.attribute_names.index(attribute)].mean())
        assert read[1] - read[0] > 0.08, (name, read)
