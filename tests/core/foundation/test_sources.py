"""What a source string names, and what identifies it."""

import json
import time
from hashlib import sha256
from pathlib import Path

import pytest
from huggingface_hub import constants

from core.errors import MissingWeightsError, UsageError
from core.files import file_sha256
from core.foundation import file_hashes
from core.foundation.file_hashes import model_file_sha256
from core.foundation.layout import MODEL, STABLE_DIFFUSION
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


COMMITS = "a" * 40, "d" * 40
LFS_NAME = "5" * 64


def write_hub_cache(cache: Path, *, commit: str, weights: bytes, main: bool = True) -> Path:
    """owner/model as the hub client keeps it; the name of the weights' blob is not their hash."""
    repository = cache / "models--owner--model"
    snapshot, blobs = repository / "snapshots" / commit, repository / "blobs"
    for folder in (snapshot, blobs, repository / "refs"):
        folder.mkdir(parents=True, exist_ok=True)
    for name, blob, content in (
        ("config.json", f"{commit[:2]}" * 20, b"{}"),
        ("model.safetensors", LFS_NAME if commit[0] == "a" else "7" * 64, weights),
    ):
        (blobs / blob).write_bytes(content)
        (snapshot / name).symlink_to(blobs / blob)
    if main:
        (repository / "refs" / "main").write_text(commit)
    return snapshot


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_a_commit_is_resolved_once_for_the_process(hub_cache: Path) -> None:
    """Catches: weights of another commit loaded than were recorded, since `main` moved between."""
    first = write_hub_cache(hub_cache, commit=COMMITS[0], weights=b"one")
    planned = resolve_source("owner/model")
    before = planned.fingerprint(MODEL)
    write_hub_cache(hub_cache, commit=COMMITS[1], weights=b"other")
    loaded = resolve_source("owner/model")
    assert loaded.folder == first
    assert (loaded.commit, loaded.fingerprint(MODEL)) == (COMMITS[0], before)
    named = resolve_source(f"owner/model@{COMMITS[1]}")
    assert named.commit == COMMITS[1] == resolve_source("owner/model@ddddddd").commit
    assert named.fingerprint(MODEL) != before


def test_a_hub_file_is_identified_by_its_name_and_not_read(hub_cache: Path) -> None:
    """Catches: gigabytes hashed at each start although the cache names them by their hash."""
    snapshot = write_hub_cache(hub_cache, commit=COMMITS[0], weights=b"anything")
    assert model_file_sha256(snapshot / "model.safetensors") == LFS_NAME
    assert model_file_sha256(snapshot / "config.json") == file_sha256(snapshot / "config.json")


def test_a_folder_and_a_hub_id_with_the_same_files_are_the_same(
    hub_cache: Path, tmp_path: Path
) -> None:
    """Catches: runs that never pair because one was given the model as a folder."""
    snapshot = write_hub_cache(hub_cache, commit=COMMITS[0], weights=b"weights")
    blob = (snapshot / "model.safetensors").resolve()
    blob.rename(blob.with_name(sha256(b"weights").hexdigest()))
    (snapshot / "model.safetensors").unlink()
    (snapshot / "model.safetensors").symlink_to(blob.with_name(sha256(b"weights").hexdigest()))
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in snapshot.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    of_folder = resolve_source(str(folder)).fingerprint(MODEL)
    assert of_folder == resolve_source("owner/model").fingerprint(MODEL)


def test_files_that_are_not_read_do_not_matter(tmp_path: Path) -> None:
    """Catches: another run id for a copy that also holds the `.bin` or half-precision twins."""
    folder = write_model(tmp_path / "model")
    before = resolve_source(str(folder)).fingerprint(MODEL)
    for name in ("pytorch_model.bin", "model.fp16.safetensors", "model.non_ema.safetensors"):
        (folder / name).write_bytes(b"other")
    (folder / "merges.txt").write_text("read by no such model")
    assert resolve_source(str(folder)).fingerprint(MODEL) == before
    (folder / "model.safetensors").write_bytes(b"other!!")
    assert resolve_source(str(folder)).fingerprint(MODEL) != before


@pytest.mark.parametrize(
    ("present", "taken", "variant"),
    [
        (["pytorch_model.bin", "model.fp16.safetensors"], "pytorch_model.bin", None),
        (["model.fp16.safetensors", "pytorch_model.fp16.bin"], "model.fp16.safetensors", "fp16"),
        (["pytorch_model.fp16.bin"], "pytorch_model.fp16.bin", "fp16"),
        (["model.bf16.safetensors"], "model.bf16.safetensors", "bf16"),
    ],
)
def test_full_precision_goes_before_half_and_safetensors_before_pickles(
    tmp_path: Path, present: list[str], taken: str, variant: str | None
) -> None:
    """Catches: half-precision weights taken where whole ones are there, or none found at all."""
    for name in present:
        (tmp_path / name).write_bytes(b"")
    found = MODEL.part("").take_weights(tmp_path)
    assert [path.name for path in found.files] == [taken]
    assert found.variant == variant
    assert found.is_safetensors == taken.endswith(".safetensors")


def test_shards_count_with_their_index_and_a_missing_one_is_named(tmp_path: Path) -> None:
    """Catches: a sharded model whose weights change unseen, or one that is found whole without."""
    names = [f"model-0000{k}-of-00002.safetensors" for k in (1, 2)]
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": dict(zip("ab", names, strict=True))}))
    (tmp_path / names[0]).write_bytes(b"first")
    with pytest.raises(MissingWeightsError, match=names[1]):
        MODEL.part("").take_weights(tmp_path)
    (tmp_path / names[1]).write_bytes(b"second")
    found = MODEL.part("").take_weights(tmp_path).files
    assert [path.name for path in found] == [index.name, *names]


def test_a_large_file_is_hashed_once_for_all_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a folder of 35 GB read at each start; a kept hash that outlives its file."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "model.safetensors"
    path.write_bytes(bytes(5 << 20))
    found = model_file_sha256(path)
    assert found == file_sha256(path)
    reads: list[Path] = []

    def counted(path: Path) -> str:
        reads.append(path)
        return file_sha256(path)

    monkeypatch.setattr(file_hashes, "file_sha256", counted)
    file_hashes._sha256.cache_clear()  # as in the next process
    assert model_file_sha256(path) == found
    assert reads == []
    raw = bytearray(path.read_bytes())
    raw[0] = 1
    path.write_bytes(raw)
    assert model_file_sha256(path) == file_sha256(path) != found
    assert reads == [path]
    file_hashes.kept_hashes_path().write_text("{ damaged")
    file_hashes._sha256.cache_clear()
    assert model_file_sha256(path) == file_sha256(path)


def test_a_missing_known_model_names_the_files_that_suffice() -> None:
    """Catches: an advice to fetch 47 GB where 4.3 are read."""
    source = resolve_source("stable-diffusion-v1-5/stable-diffusion-v1-5@no-such-branch")
    with pytest.raises(MissingWeightsError, match=r"--include model_index.json 'scheduler/\*'"):
        source.fingerprint(STABLE_DIFFUSION)


def test_a_checkpoint_in_one_file_says_how_to_convert_it(tmp_path: Path) -> None:
    """Catches: `expected a model folder` to somebody who has all the weights."""
    path = tmp_path / "v1-5-pruned-emaonly.safetensors"
    path.write_bytes(b"")
    with pytest.raises(UsageError, match="harness convert sd"):
        resolve_source(str(path))
