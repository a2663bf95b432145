"""`harness data audit`, `split` and `verify` on real files, through the entry point."""

import json
import shutil
from pathlib import Path

import pytest

from core.data.splits.split import load_split


@pytest.fixture(scope="module")
def cleaned(small_corpus, tmp_path_factory):
    """The small corpus, ingested and cleaned by the functions behind the commands."""
    from core.data.ingest.ingest import ingest
    from core.data.ingest.source import Options
    from core.data.manifest import Manifest
    from harness.data.clean import clean_folder

    folder = tmp_path_factory.mktemp("data") / "dir"
    ingest([small_corpus], folder, options=Options())
    clean_folder(Manifest.load(folder), folder=folder, window_s=3.0, num_workers=1)
    return folder


@pytest.fixture(scope="module")
def metadata(small_corpus, tmp_path_factory):
    """Three files of the user's form over the corpus, with faults of the user's kind."""
    rows = json.loads((small_corpus / "metadata.json").read_text())
    folder = tmp_path_factory.mktemp("metadata")
    parts = {"test": rows[:3], "val": rows[3:5], "train": rows[5:]}
    for part, chosen in parts.items():
        (folder / f"{part}_metadata.json").write_text(json.dumps(chosen))
    return folder


def test_a_cleaned_folder_is_locked_and_verified_and_an_edit_found(
    call, cleaned, small_corpus, tmp_path
):
    """Catches: an empty lock, or a verify that passes a changed byte of media or lock."""
    home = tmp_path / "moved"
    shutil.copytree(small_corpus, home / "media")
    shutil.copytree(cleaned, home / "dir")
    lock = home / "lock.json"
    code, out, _ = call("data", "split", cleaned, "--out", lock, "--cap", 10, "--json")
    assert code == 0
    made = json.loads(out)
    assert made["counts"]["fire"] == {"train": 8, "val": 1, "test": 1}
    assert made["samples"] == {part: sum(r[part] for r in made["counts"].values()) for part in
                               ("train", "val", "test")}  # fmt: skip
    assert set(made["class_weights"]) == {"none", "sqrt", "inverse", "effective"}
    body = json.loads(lock.read_text())
    assert body["facts"]["class_weights"]["sqrt"]["relative"]["siren"] == pytest.approx(
        (8 / made["counts"]["siren"]["train"]) ** 0.5
    )
    assert body["hash"] == made["hash"] == load_split(lock).hash
    assert (body["rule"]["cap"], body["rule"]["seed"]) == (10, 0)
    assert call("data", "split", cleaned, "--out", tmp_path / "again.json", "--cap", 10)[0] == 0
    assert load_split(tmp_path / "again.json").hash == made["hash"]

    code, out, _ = call("data", "verify", lock, "--json")
    assert (code, json.loads(out)["is_verified"]) == (0, True)
    split = load_split(lock)
    moved = load_split(lock, root=home / "media")
    moved.save(home / "own.json")
    assert call("data", "split", "--verify", home / "own.json")[0] == 0
    victim = home / "media" / split.samples[split.val[0]].audio_path
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1
    victim.write_bytes(content)
    code, out, err = call("data", "verify", home / "own.json")
    assert (code, out) == (78, "")
    assert f"sample {split.val[0]!r}: the audio file" in err
    text = lock.read_text()
    lock.write_text(text.replace('"seed": 0', '"seed": 1'))
    code, _, err = call("data", "split", "--verify", lock)
    assert code == 78
    assert "edited after it was written" in err


def test_the_tables_are_printed_for_a_person(call, cleaned, tmp_path):
    """Catches: weights that only scripts can read."""
    code, out, _ = call("data", "split", cleaned, "--out", tmp_path / "lock.json")
    assert code == 0
    fire = next(line for line in out.splitlines() if line.startswith("fire"))
    assert fire.split()[-2] == "1.00"
    assert "cap 100, seed 0, official ignore" in out


def test_out_never_replaces_what_is_not_the_same_lock(call, cleaned, metadata, tmp_path):
    """Catches: a list of the user's, or the only copy of a split, lost by a typing error."""
    own = tmp_path / "train_metadata.json"
    shutil.copy(metadata / own.name, own)
    content = own.read_bytes()
    code, _, err = call("data", "split", cleaned, "--out", own)
    assert (code, own.read_bytes()) == (2, content)
    assert "is a file but not a lock file of this command" in err
    code, _, err = call("data", "split", cleaned, "--out", tmp_path)
    assert code == 2
    assert "is a folder; name a file" in err
    lock = tmp_path / "lock.json"
    assert call("data", "split", cleaned, "--out", lock)[0] == 0
    content = lock.read_bytes()
    code, _, err = call("data", "split", cleaned, "--out", lock, "--seed", 1)
    assert (code, lock.read_bytes()) == (78, content)
    assert "holds another split" in err
    assert call("data", "split", cleaned, "--out", lock)[0] == 0


def test_names_in_an_audit_cannot_steer_the_terminal():
    """Catches: an id or class that breaks the lines, or colours or clears the user's terminal."""
    from rich.console import Console

    from core.audit.audit import Audit
    from core.audit.finding import Finding, Kind
    from core.audit.zero_shot import Suspect, ZeroShot
    from harness.report.terminal.data_audit import audit_view

    bad = "a\nb\x1b[31m[bold]red"
    finding = Finding(Kind.SHARED_CLIPS, bad, (bad,))
    suspect = Suspect(id=bad, class_name=bad, probability=0.1, likely=bad, likely_probability=0.9)
    heard = ZeroShot(
        name=bad,
        num_clips=1,
        captions={},
        agreement={},
        thresholds={},
        not_judged=(bad,),
        suspects=(suspect,),
    )
    console = Console(width=400)
    with console.capture() as shown:
        console.print(
            audit_view(
                Audit(clips={bad: 1}, findings=(finding,), zero_shot=(heard,), not_checked=(bad,))
            )
        )
    assert "\x1b" not in shown.get()
    assert shown.get().count("a b") == 9
    assert "\nb" not in shown.get()


def test_options_that_do_not_go_together_are_refused(call, cleaned, tmp_path):
    """Catches: an option that is silently not used."""
    assert call("data", "split", cleaned)[0] == 2
    assert call("data", "split", cleaned, "--verify", tmp_path / "x.json")[0] == 2
    lock = tmp_path / "x.json"
    assert call("data", "split", cleaned, "--out", lock, "--against", lock)[0] == 2
    code, _, err = call("data", "split", cleaned, "--out", lock, "--official", "honour")
    assert code == 2
    assert "no clip is marked" in err
    assert not lock.exists()


def test_a_folder_that_was_not_cleaned_says_what_comes_first(call, small_corpus, tmp_path):
    """Catches: a split over files that nobody has decoded."""
    assert call("data", "ingest", small_corpus, "--out", tmp_path / "dir")[0] == 0
    code, _, err = call("data", "split", tmp_path / "dir", "--out", tmp_path / "lock.json")
    assert code == 65
    assert "run harness data clean" in err


def test_the_users_own_files_become_a_split_with_their_faults_reported(
    call, cleaned, metadata, tmp_path
):
    """Catches: an import that redraws, drops clips in silence, or hides a missing seed."""
    files = [metadata / f"{part}_metadata.json" for part in ("train", "val", "test")]
    words = [word for path in files for word in ("--import", path)]
    lock = tmp_path / "lock.json"
    code, out, _ = call("data", "split", cleaned, *words, "--out", lock, "--json")
    assert code == 0
    made = json.loads(out)
    assert (made["method"], made["seed"], made["cap"]) == ("imported", None, None)
    split = load_split(lock)
    for part, path in zip(("train", "val", "test"), files, strict=True):
        listed = {row["video_id"] for row in json.loads(path.read_text())}
        assert set(split.parts[part]) <= listed
        left_out = len(listed) - len(split.parts[part])
        told = [n for n in made["notices"] if n.startswith(f"{path.name}: {left_out} of ")]
        assert bool(told) == (left_out > 0)
    notices = " ".join(made["notices"])
    assert "no seed and no rule is recorded" in notices
    assert " has 0 val clips" in notices
    assert "of the data set's official test part: name" in notices
    assert call("data", "verify", lock)[0] == 0
    twice = [*words[2:], "--import", f"train={files[2]}"]
    code, _, err = call("data", "split", cleaned, *twice, "--out", tmp_path / "b.json")
    assert code == 65
    assert "a clip belongs in one part" in err


def test_importing_two_splits_together_names_the_clips_they_share(
    call, cleaned, real_metadata, tmp_path
):
    """Catches: the balanced and the unbalanced files taken together without a word on 54 of 67."""
    paths = real_metadata.write(tmp_path, [*real_metadata.balanced, *real_metadata.unbalanced])
    words = [word for path in paths for word in ("--import", path)]
    code, _, err = call("data", "split", cleaned, *words, "--out", tmp_path / "lock.json")
    assert code == 2
    assert (
        "54 of the 67 clips of test_metadata_balanced.json are also in train_metadata.json" in err
    )
    assert "52 of the 66 clips of val_metadata_balanced.json" in err
    code, out, _ = call("data", "audit", *paths, "--json")
    assert code == 0
    leaks = [f for f in json.loads(out)["findings"] if f.get("is_leak")]
    assert (leaks[0]["shared"], leaks[0]["num_first"], len(leaks[0]["ids"])) == (54, 67, 54)
    code, out, _ = call("data", "audit", *paths)
    assert "54 of the 67 clips of test_metadata_balanced.json" in " ".join(out.split())


def test_an_imported_split_is_compared_with_another(real_metadata, tmp_path):
    """Catches: an import that does not see the test clips of the other train set."""
    from core.audit.listing import read_part_file
    from core.audit.split_import import import_split

    balanced = [read_part_file(p) for p in real_metadata.write(tmp_path, real_metadata.balanced)]
    others = [read_part_file(p) for p in real_metadata.write(tmp_path, real_metadata.unbalanced)]
    split = import_split(real_metadata.manifest(real_metadata.balanced), balanced, against=others)
    assert [len(ids) for ids in split.parts.values()] == [531, 66, 67]
    assert sum(" are also in " in notice for notice in split.notices) == 6
    assert any(
        "54 of the 67 clips of test_metadata_balanced.json" in notice for notice in split.notices
    )
    assert any("dog_barking has 1 val clip" in notice for notice in split.notices)


def test_an_audit_of_a_folder_listens_and_changes_nothing(call, cleaned, tmp_path):
    """Catches: an audit that edits the manifest, or needs weights that `tiny` does not have."""
    before = (cleaned / "manifest.parquet").read_bytes()
    results = tmp_path / "results"
    code, out, _ = call("data", "audit", cleaned, "--results", results, "--json")
    assert code == 0
    found = json.loads(out)
    (heard,) = found["zero_shot"]
    assert heard["num_clips"] == sum(found["clips"].values())
    assert set(heard["agreement"]) == {"fire", "siren", "thunder"}
    assert (cleaned / "manifest.parquet").read_bytes() == before
    code, out, _ = call("data", "audit", cleaned, "--no-clap")
    assert code == 0
    assert "CLAP was not used" in out


def test_a_run_takes_a_lock_or_a_cleaned_folder(call, cleaned, small_request, tmp_path):
    """Catches: a lock that is made and verified and cannot be trained on."""
    lock = tmp_path / "lock.json"
    assert call("data", "split", cleaned, "--out", lock)[0] == 0
    # A seed of its own: the run is the same as one of the folder, and records are shared.
    request = small_request(data=str(lock), seed=17)
    code, out, _ = call(*request.words[1:], "--json")
    assert code == 0
    record = json.loads(Path(json.loads(out)["record"]).read_text())
    assert record["split"]["hash"] == load_split(lock).hash
    assert record["split"]["class_weighting"]["rule"] == "sqrt"
    of_folder = small_request(data=str(cleaned))
    code, out, _ = call(*of_folder.words[1:], "--dry-run", "--json")
    assert json.loads(out)["split"] == load_split(lock).hash


def test_the_cache_is_shown_and_pruned_of_what_no_split_needs(call, cleaned, tmp_path):
    """Catches: rows of a lock that is named kept by luck, or a dry run that deletes."""
    results = tmp_path / "results"
    assert call("data", "audit", cleaned, "--results", results)[0] == 0
    lock = tmp_path / "lock.json"
    assert call("data", "split", cleaned, "--out", lock)[0] == 0
    words = ("data", "cache", "--results", results)
    code, out, _ = call(*words, "--json")
    (folder,) = json.loads(out)["folders"]
    assert (code, folder["kind"]) == (0, "clap")
    assert folder["rows"] >= 24
    assert "clap" in call(*words, "--stats")[1]
    code, out, _ = call(*words, "--prune", "--keep", lock, "--json")
    assert (code, json.loads(out)["removed"]) == (0, [])
    code, out, _ = call(*words, "--prune", "--dry-run", "--json")
    assert json.loads(out)["removed"][0]["rows"] == folder["rows"]
    assert json.loads(call(*words, "--json")[1])["folders"] == [folder]
    assert "deleted" in call(*words, "--prune")[1]
    assert json.loads(call(*words, "--json")[1])["folders"] == []
    assert call(*words, "--dry-run")[0] == 2
    assert call(*words, "--prune", "--no-unused")[0] == 2
