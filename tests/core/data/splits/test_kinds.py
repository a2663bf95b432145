"""Splits of data without one class a clip: labels jointly, captions by groups of like captions."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from core.data.items import DataKind, Item, Status
from core.data.manifest import Manifest
from core.data.splits.caption_groups import caption_groups
from core.data.splits.jointly import label_groups
from core.data.splits.make import CaptionVectors, make_split
from core.data.splits.split import Official, Part, load_split
from core.data.splits.weights import ClassWeighting, class_weights
from core.data.splits.words import word_vectors
from core.errors import DataError, UsageError

SUBJECTS = ("a dog barks in the yard", "rain falls on a tin roof", "an engine idles by the road")


def manifest_of_kind(tmp_path, kind, changes, *, num_sources=None):
    """A cleaned manifest without files; `changes` has the fields of each item."""
    items = []
    for index, fields in enumerate(changes):
        id_ = f"c{index:04d}"
        known = {
            "source": id_ if num_sources is None else f"s{index % num_sources}",
            "caption": f"caption {index}",
            "audio_path": f"{id_}.wav",
            "image_path": f"{id_}.png",
            "audio_sha256": f"a{index}",
            "image_sha256": f"i{index}",
            "duration_s": 1.0,
        }
        items.append(Item(id_, Status.INCLUDED, **{**known, **fields}))
    return Manifest(tmp_path, tuple(items), len(items), kind=kind)


@pytest.fixture
def captioned(tmp_path):
    changes = [{"caption": f"{SUBJECTS[k % 3]} number {k % 7}"} for k in range(120)]
    return manifest_of_kind(tmp_path, DataKind.CAPTIONS, changes)


@pytest.fixture
def labelled(tmp_path):
    """300 clips; `speech` in all of every second, `rare` in 20 that have others too."""
    draw = np.random.default_rng(0)
    names = ("dog", "rain", "engine", "siren")
    changes = []
    for index in range(300):
        own = {names[k] for k in draw.choice(4, size=draw.integers(1, 3), replace=False)}
        own |= {"speech"} if index % 2 else set()
        own |= {"rare"} if index % 15 == 0 else set()
        changes.append({"labels": tuple(sorted(own))})
    return manifest_of_kind(tmp_path, DataKind.LABELS, changes)


def sizes(split):
    return [len(split.parts[part]) for part in Part]


def test_captions_are_grouped_by_what_they_are_about(captioned):
    """Catches: groups by length or order, in which nothing is like anything."""
    groups = caption_groups(captioned.samples)
    found = Counter(groups.values())
    assert sum(found.values()) == 120
    assert 2 <= len(found) <= 6
    subject = {sample.id: sample.caption.split(" number")[0] for sample in captioned.samples}
    by_group = {
        name: {subject[id_] for id_, own in groups.items() if own == name} for name in found
    }
    assert all(len(own) == 1 for own in by_group.values())
    assert any("dog" in name for name in found)


def test_captions_alone_are_split_in_shares_with_every_group_in_every_part(captioned):
    """Catches: a cap of 100 that nobody asked for, or a group that is never tested on."""
    split = make_split(captioned)
    assert sizes(split) == [96, 12, 12]
    assert split.rule.cap is None
    assert split.rule.groups == "words"
    assert all(min(row.values()) >= 1 for row in split.counts.values())
    notices = " ".join(split.notices)
    assert "no cap: all 120 pairs are used" in notices
    assert "groups of like captions, by their words" in notices


def test_a_cap_that_is_asked_for_holds_in_each_group_and_is_said(captioned):
    """Catches: a cap of data without classes that does nothing, or drops clips unsaid."""
    split = make_split(captioned, cap=15)
    assert max(sum(row.values()) for row in split.counts.values()) == 15
    left_out = 120 - len(split.samples)
    assert f"leaves out {left_out} of 120 pairs" in " ".join(split.notices)


def test_the_groups_do_not_hang_on_order_or_seed_and_the_lock_keeps_them(captioned, tmp_path):
    """Catches: groups that change with the order of files, or are lost on disk."""
    turned = replace(captioned, items=captioned.items[::-1])
    split = make_split(captioned, seed=1)
    assert make_split(turned, seed=1) == split
    other = make_split(captioned, seed=2)
    assert other.train != split.train
    assert other.classes == split.classes
    split.save(tmp_path / "lock.json")
    found = load_split(tmp_path / "lock.json")
    assert found == split
    assert (found.kind, found.hash) == (DataKind.CAPTIONS, split.hash)


def test_vectors_of_a_text_encoder_decide_the_groups_and_the_rule_names_it(captioned):
    """Catches: a text encoder that is asked for and not used."""
    half = {s.id: [1.0, 0.0] if int(s.id[1:]) < 60 else [0.0, 1.0] for s in captioned.samples}
    split = make_split(captioned, vectors=CaptionVectors("CLIP", half))
    assert split.rule.groups == "CLIP"
    assert len(split.classes) == 2
    assert split.hash != make_split(captioned).hash
    with pytest.raises(DataError, match="the caption of 'c0003' has no vector"):
        make_split(captioned, vectors=CaptionVectors("CLIP", {k: half[k] for k in list(half)[:3]}))


def test_words_weigh_by_how_rare_they_are():
    """Catches: likeness by words that all captions share. By hand: of two texts with one word in
    common, the cosine is idf(common)^2 over the product of their lengths."""
    vectors = word_vectors([("the dog",), ("the rain",), ("the",)])
    rare, common = np.log(4 / 2) + 1, np.log(4 / 4) + 1
    cosine = (vectors.rows_NV @ vectors.rows_NV.T).toarray()
    assert cosine[0, 1] == pytest.approx(common**2 / (common**2 + rare**2))
    assert cosine[0, 2] == pytest.approx(common / np.hypot(common, rare))
    assert word_vectors([("빗소리가 들린다",), ("빗소리를 듣는다",)]).words.count("빗소") == 1
    assert word_vectors([("!",), ("a",)]).rows_NV[[0]].sum() == 0


def test_equal_captions_and_few_clips_still_make_a_split(tmp_path):
    """Catches: a division by zero where all captions are one, or three groups of ten clips."""
    one = manifest_of_kind(tmp_path, DataKind.CAPTIONS, [{"caption": "rain"}] * 60)
    assert len(make_split(one).classes) == 1
    few = manifest_of_kind(tmp_path, DataKind.CAPTIONS, [{}] * 10)
    assert sizes(make_split(few)) == [8, 1, 1]
    with pytest.raises(DataError, match="2 clips leave val without one"):
        make_split(manifest_of_kind(tmp_path, DataKind.CAPTIONS, [{}] * 2))


@pytest.mark.parametrize("seed", range(3))
def test_every_label_keeps_its_share_in_every_part(labelled, seed):
    """Catches: labels that lie in the training part alone, as a draw by one label leaves them."""
    split = make_split(labelled, seed=seed)
    assert sizes(split) == [240, 30, 30]
    for name, row in split.label_counts.items():
        total = sum(row.values())
        for part, share in zip(Part, (0.8, 0.1, 0.1), strict=True):
            assert abs(row[part] - share * total) <= max(2.0, 0.03 * total), (name, part)
    assert split.label_counts["rare"][Part.TEST] >= 1
    assert split.rule.cap is None


def test_sources_of_labelled_clips_stay_whole(tmp_path, labelled):
    """Catches: one video with clips that are trained and tested on."""
    changes = [{"labels": sample.labels} for sample in labelled.samples]
    split = make_split(manifest_of_kind(tmp_path, DataKind.LABELS, changes, num_sources=75))
    sources = [{split.samples[i].source for i in split.parts[part]} for part in Part]
    assert not (sources[0] & sources[1] | sources[0] & sources[2] | sources[1] & sources[2])
    assert abs(len(split.test) - 30) <= 4


def test_labels_too_rare_for_three_parts_are_said_and_not_refused(tmp_path, labelled):
    """Catches: AudioSet refused for a label with two clips."""
    changes = [{"labels": sample.labels} for sample in labelled.samples]
    changes[0] = changes[1] = {"labels": ("kazoo",)}
    manifest = manifest_of_kind(tmp_path, DataKind.LABELS, changes)
    split = make_split(manifest)
    assert any("labels, such as 'kazoo', have too few clips" in line for line in split.notices)
    assert label_groups(manifest.samples)["c0000"] != "kazoo"
    assert min(Counter(label_groups(manifest.samples).values()).values()) >= 3


def test_a_cap_by_label_holds_for_every_label(labelled):
    """Catches: a clip of two labels that lifts one of them over the cap."""
    split = make_split(labelled, cap=40)
    assert max(sum(row.values()) for row in split.label_counts.values()) <= 40
    assert "the cap of 40 clips a label leaves out" in " ".join(split.notices)


def test_a_published_division_is_honoured_whole_without_classes(tmp_path):
    """Catches: published test clips left out for a share, or a published val part that trains."""
    parts = ["train"] * 30 + ["val"] * 10 + ["test"] * 20
    changes = [{"caption": f"sound {k % 5}", "official_split": p} for k, p in enumerate(parts)]
    manifest = manifest_of_kind(tmp_path, DataKind.CAPTIONS, changes)
    split = make_split(manifest, official=Official.HONOUR)
    assert sizes(split) == [30, 10, 20]
    assert split.test == tuple(f"c{k:04d}" for k in range(40, 60))
    no_val = [{**c, "official_split": "train"} if k < 40 else c for k, c in enumerate(changes)]
    drawn = make_split(
        manifest_of_kind(tmp_path, DataKind.CAPTIONS, no_val), official=Official.HONOUR
    )
    assert sizes(drawn) == [35, 5, 20]
    only_train = [{**change, "official_split": "train"} for change in changes]
    with pytest.raises(DataError, match="no clip is left for test with the official division"):
        make_split(
            manifest_of_kind(tmp_path, DataKind.CAPTIONS, only_train), official=Official.HONOUR
        )


def test_weights_are_by_label_with_a_mean_of_one_and_off_for_captions(labelled, captioned):
    """Catches: a clip weighed by one of its labels, a loss of another scale, or weights by group
    of captions, which are no classes."""
    split = make_split(labelled)
    weights = class_weights(split, rule=ClassWeighting.INVERSE)
    own = [weights.of(split.samples[id_]) for id_ in split.train]
    assert np.mean(own) == pytest.approx(1.0)
    sample = next(s for s in split.samples.values() if len(s.labels) == 2)
    first, second = (weights.weights[label] for label in sample.labels)
    assert weights.of(sample) == pytest.approx((first + second) / 2)
    counts = {name: row[Part.TRAIN] for name, row in split.label_counts.items()}
    assert weights.relative["rare"] == max(counts.values()) / counts["rare"]
    alone = make_split(captioned)
    off = class_weights(alone, rule=ClassWeighting.SQRT)
    assert off.rule is ClassWeighting.NONE
    assert {off.of(alone.samples[id_]) for id_ in alone.train} == {1.0}
    with pytest.raises(UsageError, match="the data have captions alone"):
        class_weights(alone, rule=ClassWeighting.EXPLICIT, explicit={"rain": 1.0})


def test_a_text_encoder_is_refused_for_data_with_labels(labelled):
    """Catches: an encoder that is loaded and then not used."""
    with pytest.raises(UsageError, match="the data have labels"):
        make_split(labelled, vectors=CaptionVectors("CLIP", {}))
