"""What a finished run leaves of its evaluation: record, tables, cached features."""

import json

import pandas as pd

from core.data.splits.split import load_split


def test_the_record_holds_the_whole_evaluation(finished):
    """Catches: a report that must score again, or numbers of another split."""
    record = json.loads((finished.folder / "record.json").read_bytes())
    values = [value for of_arm in record["arms"].values() for value in of_arm.values()]
    assert {value["split_hash"] for value in values} == {finished.record.identity.split_hash}
    evaluation = record["evaluation"]
    assert set(evaluation["extractors"]) == {"clip", "image_judge", "audio_judge"}
    for role, extractor in evaluation["extractors"].items():
        assert extractor["fingerprint"] == finished.record.identity.models[role]
    classes = set(record["split"]["counts"])
    for arm in ("audio", "silence", "text_only", "real"):
        for by_class in evaluation["per_class"][arm].values():
            assert set(by_class) == classes
    curve = [
        p for p in evaluation["distance_curves"] if (p["metric"], p["arm"]) == ("kid", "audio")
    ]
    assert curve[-1]["mean"] == record["metrics"]["kid"]["value"]


def test_every_image_has_its_nearest_training_picture(finished):
    """Catches: the nearest sought among test pictures, or a table without some image."""
    table = pd.read_csv(finished.folder / "nearest_training.csv")
    record = finished.record
    split = load_split(finished.request.results / record.split.lock)
    assert set(table["nearest_id"]) <= set(split.train)
    assert record.evaluation.nearest_training.num_training == len(split.train)
    images = list((finished.folder / "images").rglob("*.png"))
    assert len(table[table["arm"] != "real"]) == len(images)
    assert set(table.loc[table["arm"] == "real", "sample_id"]) == set(split.test)


def test_features_of_real_media_are_cached_beside_the_runs(finished):
    """Catches: every run of a split embedding its real pictures and sounds again."""
    folder = finished.request.results / "cache" / "scorer_features"
    kinds = {path.name.rsplit("-", 1)[0] for path in folder.glob("*.npz")}
    assert kinds == {"pictures-clip", "pictures-judged", "sounds-judged"}
