"""Features of real media are computed once, and never those of other media or models."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from core.errors import MismatchError
from core.randomness import rng
from harness.metrics.feature_cache import FeatureCache

CONTEXT = {"split": "abc", "window_s": 3.0}
ROWS = rng(0, "cached").integers(-99, 99, (3, 5)) / 64  # exact in float32, also plus 1


class Extractor:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Mapping[str, np.ndarray]:
        self.calls += 1
        return {"features": ROWS + self.calls - 1, "attributes": ROWS[:, :1]}


def _ask(folder: Path | None, extractor: Extractor, **changes) -> dict[str, np.ndarray]:
    words = {"what": "pictures clip", "ids": ["a", "b", "c"], "fingerprint": "f", **changes}
    cache = FeatureCache(folder, context=words.pop("context", CONTEXT))
    return cache.arrays(words.pop("what"), compute=extractor, **words)


def test_the_second_run_reads_the_same_bits_from_disk(tmp_path):
    """Catches: features computed again, or rounded on the way through the file."""
    extractor = Extractor()
    first, second = _ask(tmp_path, extractor), _ask(tmp_path, extractor)
    assert extractor.calls == 1
    assert list(first) == list(second)
    for name in first:
        assert second[name].dtype == np.float64
        np.testing.assert_array_equal(first[name], second[name])
    np.testing.assert_array_equal(second["features"], ROWS)


@pytest.mark.parametrize(
    "changes",
    [
        {"ids": ["a", "c", "b"]},
        {"fingerprint": "g"},
        {"what": "pictures inception"},
        {"context": {**CONTEXT, "split": "abd"}},
        {"context": {**CONTEXT, "window_s": 2.0}},
    ],
    ids=["order", "scorer", "what", "split", "window"],
)
def test_anything_that_decides_the_features_makes_them_anew(tmp_path, changes):
    """Catches: a run scored with the features of another split, scorer or order of clips."""
    extractor = Extractor()
    _ask(tmp_path, extractor)
    found = _ask(tmp_path, extractor, **changes)
    assert extractor.calls == 2
    np.testing.assert_array_equal(found["features"], ROWS + 1)


@pytest.mark.parametrize("spoil", ["cut", "rows", "empty"])
def test_a_damaged_file_is_made_anew_and_said(tmp_path, spoil):
    """Catches: a crash on, or silent use of, half a file."""
    extractor = Extractor()
    _ask(tmp_path, extractor)
    (path,) = tmp_path.iterdir()
    if spoil == "cut":
        path.write_bytes(path.read_bytes()[:200])
    elif spoil == "empty":
        path.write_bytes(b"")
    else:
        np.savez(path, features=ROWS[:2])
    cache = FeatureCache(tmp_path, context=CONTEXT)
    found = cache.arrays("pictures clip", ids=["a", "b", "c"], fingerprint="f", compute=extractor)
    np.testing.assert_array_equal(found["features"], ROWS + 1)
    assert cache.notices == [f"the cached features {path.name} were damaged and made anew"]
    assert _ask(tmp_path, extractor)["features"].shape == ROWS.shape
    assert extractor.calls == 2


def test_without_a_folder_nothing_is_kept():
    """Catches: scores that differ by whether there is a cache."""
    extractor = Extractor()
    assert _ask(None, extractor)["features"].dtype == np.float64
    _ask(None, extractor)
    assert extractor.calls == 2


@pytest.mark.parametrize("is_kept", [True, False])
def test_features_of_media_that_changed_are_neither_used_nor_kept(
    tmp_path: Path, is_kept: bool
) -> None:
    """Catches: pictures replaced while a run trains, whose features then stay under the split."""
    calls: list[list[str]] = []

    def verify(ids: Sequence[str]) -> None:
        calls.append(list(ids))
        if len(calls) == 2:  # changed between being verified and being read
            raise MismatchError("the image file has changed since it was locked")

    def features() -> dict[str, np.ndarray]:
        return {"features": np.ones((2, 3))}

    folder = tmp_path / "cache" if is_kept else None
    cache = FeatureCache(folder, context={"split": "s"}, verify=verify)
    with pytest.raises(MismatchError, match="has changed"):
        cache.arrays("real", ids=["a", "b"], fingerprint="f", compute=features)
    assert calls == [["a", "b"]] * 2
    assert not list(tmp_path.rglob("*.npz"))
    found = cache.arrays("real", ids=["a", "b"], fingerprint="f", compute=features)
    assert found["features"].shape == (2, 3)
