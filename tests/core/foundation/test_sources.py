"""What a source string names, and what identifies it."""

import time
from pathlib import Path

import pytest

from core.errors import MissingWeightsError, UsageError
from core.foundation.sources import resolve_source


def write_model(folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "merges.txt").write_text("a b")
    return folder


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "merges.txt"])
def test_one_byte_of_any_model_file_changes_the_fingerprint(tmp_path: Path, name: str) -> None:
    """Catches: results of other weights returned as if they were this model's."""
    folder = write_model(tmp_path / "model")
    before = resolve_source(str(folder)).fingerprint()
    raw = bytearray((folder / name).read_bytes())
    raw[0] ^= 1
    (folder / name).write_bytes(raw)
    assert resolve_source(str(folder)).fingerprint() != before


def test_weights_in_the_old_format_count(tmp_path: Path) -> None:
    """Catches: a pytorch_model.bin that is loaded but not hashed."""
    folder = write_model(tmp_path / "model")
    before = resolve_source(str(folder)).fingerprint()
    (folder / "pytorch_model.bin").write_bytes(b"weights")
    assert resolve_source(str(folder)).fingerprint() != before


def test_the_fingerprint_does_not_depend_on_the_place(tmp_path: Path) -> None:
    """Catches: a run that cannot be found again on another machine."""
    first, second = write_model(tmp_path / "a"), write_model(tmp_path / "b")
    assert resolve_source(str(first)).fingerprint() == resolve_source(str(second)).fingerprint()


def test_a_hub_id_that_is_not_cached_says_how_to_get_it() -> None:
    """Catches: minutes of retries without network, or a traceback."""
    started = time.monotonic()
    source = resolve_source("owner/model-that-is-not-here@abc")
    assert (source.location, source.revision) == ("owner/model-that-is-not-here", "abc")
    with pytest.raises(MissingWeightsError, match="hf download owner/model-that-is-not-here"):
        source.fingerprint()
    assert time.monotonic() - started < 60  # it must not wait for a network; not a benchmark


@pytest.mark.parametrize("name", ["a/b/c", "two words/model", "-x/y..z"])
def test_a_name_that_can_be_nothing_is_a_usage_error(name: str) -> None:
    """Catches: a mistyped folder ending in the hub client's own traceback."""
    with pytest.raises(UsageError, match="neither a folder nor a hub id"):
        resolve_source(name).fingerprint()


@pytest.mark.parametrize("name", ["/no/such/model", "./model", "~/no-such-model-here"])
def test_a_missing_folder_is_not_taken_for_a_hub_id(name: str) -> None:
    """Catches: `hf download ./model` as advice."""
    with pytest.raises(UsageError, match="no folder"):
        resolve_source(name)


def test_an_unknown_embedded_model_lists_the_known_ones() -> None:
    """Catches: a typing mistake that ends in a traceback."""
    with pytest.raises(UsageError, match=r"known: audio_judge, clap, .*stable_diffusion"):
        resolve_source("embedded:stable")


def test_an_empty_folder_is_no_model(tmp_path: Path) -> None:
    """Catches: a fingerprint of nothing, equal for every empty folder."""
    with pytest.raises(MissingWeightsError, match="holds no model files"):
        resolve_source(str(tmp_path)).fingerprint()
