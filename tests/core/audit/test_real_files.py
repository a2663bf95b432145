"""The audit over the user's own six split files."""

import pytest

from core.audit.audit import audit_listings
from core.audit.finding import Kind
from core.audit.listing import read_target
from core.data.splits.official import read_official_list


@pytest.fixture(scope="module")
def listings(real_metadata, tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    names = [*real_metadata.balanced, *real_metadata.unbalanced]
    paths = real_metadata.write(folder, names)
    return [listing for path in paths for listing in read_target(path).listings]


@pytest.fixture(scope="module")
def audit(listings):
    return audit_listings(listings, official=None, labels=None)


def shared(audit, first, second):
    (found,) = [
        finding
        for finding in audit.findings
        if (finding.facts.get("first"), finding.facts.get("second")) == (first, second)
    ]
    return found


@pytest.mark.parametrize(
    ("first", "second", "num", "of"),
    [
        ("test_metadata_balanced.json", "train_metadata.json", 54, 67),
        ("val_metadata_balanced.json", "train_metadata.json", 52, 66),
        ("test_metadata.json", "train_metadata_balanced.json", 52, 156),
        ("val_metadata.json", "train_metadata_balanced.json", 51, 154),
        ("test_metadata_balanced.json", "val_metadata.json", 9, 67),
        ("test_metadata.json", "val_metadata_balanced.json", 6, 156),
    ],
)
def test_clips_held_out_in_one_split_and_used_in_the_other_are_named(
    audit, real_metadata, first, second, num, of
):
    """Catches: the 54 of 67 balanced test clips that the unbalanced split trains on."""
    finding = shared(audit, first, second)
    assert finding.kind is Kind.SHARED_CLIPS
    assert finding.facts["is_leak"] is True
    assert (finding.facts["shared"], finding.facts["num_first"]) == (num, of)
    assert finding.sentence.startswith(f"{num} of the {of} clips of {first} are also in {second}")
    both = [{row["video_id"] for row in real_metadata.rows([name])} for name in (first, second)]
    assert set(finding.ids) == both[0] & both[1]


def test_parts_of_one_split_share_nothing_and_leaks_come_first(audit):
    """Catches: a leak buried under lists that share clips by intention."""
    sharing = [finding for finding in audit.findings if finding.kind is Kind.SHARED_CLIPS]
    leaks = [finding.facts["is_leak"] for finding in sharing]
    assert leaks == sorted(leaks, reverse=True)
    assert sharing[0].facts["shared"] == 54
    assert len(sharing) == 9
    same_part = {(f.facts["first"], f.facts["shared"]) for f in sharing if not f.facts["is_leak"]}
    assert same_part == {
        ("train_metadata_balanced.json", 428),
        ("val_metadata_balanced.json", 8),
        ("test_metadata_balanced.json", 4),
    }


def test_what_is_wrong_with_the_users_division_is_said(audit):
    """Catches: a split without a seed or strata taken as if it were one of ours."""
    balanced = [f for f in audit.findings if f.facts.get("split") == "*_metadata_balanced.json"]
    by_kind = {finding.kind: finding for finding in balanced if finding.kind is not Kind.THIN_CLASS}
    assert set(by_kind) == {Kind.NO_SEED, Kind.NOT_STRATIFIED}
    assert "dog_barking has 8 test of 4.4" in by_kind[Kind.NOT_STRATIFIED].sentence
    assert "helicopter has 14 test of 9.5" in by_kind[Kind.NOT_STRATIFIED].sentence
    (thin,) = [finding for finding in balanced if finding.kind is Kind.THIN_CLASS]
    assert thin.sentence.endswith("dog_barking has 1 val clip")
    assert any("--official" in sentence for sentence in audit.not_checked)


def test_official_test_clips_are_marked_and_those_that_train_accused(
    listings, real_metadata, tmp_path
):
    """Catches: VGGSound's own division ignored, and a train that horns among the rain."""
    from core.data.labels import load_label_map

    rows = real_metadata.rows(["train_metadata_balanced.json"])
    rain = sorted(row["video_id"] for row in rows if row["class"] == "rain")
    lines = [f"{id_},{30 + k},raining,train" for k, id_ in enumerate(rain[6:])]
    lines += [f"{rain[0]},1,train horning,train", f"{rain[1]},2,raining,test"]
    lines += [f'{rain[2]},3,"engine accelerating, revving, vroom",test']
    path = tmp_path / "vggsound.csv"
    path.write_text("\n".join(lines) + "\n")
    audit = audit_listings(
        listings, official=read_official_list(path), labels=load_label_map("vggsound")
    )
    name = "train_metadata_balanced.json"
    found = {f.kind: f for f in audit.findings if f.facts.get("list") == name}
    assert found[Kind.OFFICIAL_TEST_IS_TRAINED].ids == tuple(sorted(rain[1:3]))
    assert found[Kind.UNMAPPED_LABEL].ids == (rain[0],)
    assert "'train horning' is not in the label map vggsound" in (
        found[Kind.UNMAPPED_LABEL].sentence
    )
    assert found[Kind.LABEL_OF_ANOTHER_CLASS].ids == (rain[2],)
    assert found[Kind.LABEL_OF_ANOTHER_CLASS].facts["means"] == "engine"
    assert audit.not_checked == ()
