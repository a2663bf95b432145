"""The corpora that ship: named as a source, written once, and read as what they are."""

from functools import partial

import pytest

from core.data.items import DataKind
from core.embedded.corpus.folder import NUM_MIXTURES, write_mixtures
from core.errors import UsageError
from harness.costs.clips import clips_of
from harness.data import source
from harness.data.source import NotPreparedError, prepare_split, split_as_prepared
from harness.settings.load import load_profile

MIXTURES = "embedded:mixtures"
SETTINGS = load_profile("tiny", overrides=[f"data.source={MIXTURES}"]).data
NUM_CLIPS = 40


def quiet(*_: object) -> None:
    """No progress."""


def test_mixtures_are_a_source_by_name(tmp_path, monkeypatch):
    """Catches: a second corpus that is read as classes, capped, or written over the first."""
    name, _ = source._EMBEDDED[MIXTURES]
    few = partial(write_mixtures, count=NUM_CLIPS)
    monkeypatch.setitem(source._EMBEDDED, MIXTURES, (name, few))
    known = {"settings": SETTINGS, "results": tmp_path, "progress": quiet}
    with pytest.raises(NotPreparedError, match="the embedded mixtures was not read"):
        split_as_prepared(None, **known)
    found = prepare_split(None, **known)
    assert found.split.kind is DataKind.LABELS
    assert len(found.split.samples) == NUM_CLIPS
    assert found.exclusions == {}
    assert found.lock.parent == tmp_path / "data" / "embedded-mixtures-seed0"
    assert any(len(sample.labels) > 1 for sample in found.split.samples.values())
    assert split_as_prepared(None, **known).split.hash == found.split.hash


def test_an_unknown_corpus_is_a_sentence_with_the_known_ones(tmp_path):
    """Catches: `no folder at embedded:mixture`, as if it were a path."""
    with pytest.raises(UsageError, match=r"no data named 'embedded:mixture'.*did you mean"):
        prepare_split("embedded:mixture", settings=SETTINGS, results=tmp_path, progress=quiet)


def test_a_plan_counts_the_clips_of_the_mixtures():
    """Catches: hours and disk of the mixtures forecast for the 664 pairs of the other corpus."""
    clips = clips_of(None, number=None, settings=SETTINGS)
    assert clips.total == NUM_MIXTURES
    assert not clips.has_classes
    assert "mixtures" in clips.source


def test_results_within_the_data_they_read_are_refused_and_not_made(tmp_path):
    """Catches: a folder `results` made among the classes, which is then a class without a pair."""
    data = tmp_path / "media"
    (data / "rain").mkdir(parents=True)
    (tmp_path / "link").symlink_to(data)
    for results in (data / "results", data, tmp_path / "link" / "deep" / "results"):
        known = {"settings": SETTINGS, "results": results, "progress": quiet}
        with pytest.raises(UsageError, match="lies in the data folder"):
            prepare_split(str(data), **known)
    assert list(data.iterdir()) == [data / "rain"]
