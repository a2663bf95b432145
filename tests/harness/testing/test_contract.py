"""The contract catches what it is for: variants with one defect each fail one check each."""

import re
from pathlib import Path

import pytest

from core.conditioning.variant import Variant
from harness.testing import VariantContract, violations
from tests.harness.testing.defects_of_conditioning import (
    BlindToItsClass,
    DeadModule,
    Deaf,
    Detached,
    DrawnElsewhere,
    Float32Only,
    GateOfNobody,
    GateWithoutValue,
    IgnoresTheDevice,
    KeepsTheTensor,
    KnowsTheOrder,
    Lingers,
    MovesIn,
    MovesItselfInStage3,
    MovesTheUnet,
    OtherOrderInTraining,
    ReadsTheCaption,
    ToldAndDeclared,
    ToldTheClass,
    UnreadFeature,
    Unsaved,
    Wavering,
)
from tests.harness.testing.defects_of_settings import (
    SaysOtherwise,
    SearchesElsewhere,
    SearchesInOtherSteps,
    SearchesPastItsDefault,
    SearchesTooFar,
    SearchesUnset,
    TakesAnyKey,
    Undocumented,
)
from tests.harness.testing.defects_of_training import (
    AnswersItself,
    BatchStatistic,
    BatchStatisticInTraining,
    HalfWeights,
    HeadDeclared,
    HeadOfItsOwn,
    KeepsLoudness,
    NoticedSilence,
    OpenFromTheStart,
    OwnSchedule,
    Routed,
    ShutUnsaid,
    Standardised,
    UnstatedEntropy,
    WrongSign,
)
from tests.harness.testing.defects_on_gpu import NeverTwice, StaysBehind
from tests.harness.testing.sound_branch import SMALLER, Sound

CAUGHT_BY: dict[type[Variant], tuple[str, str]] = {
    NoticedSilence: ("absent_audio_is_the_plain_unet", "absent tokens"),
    OpenFromTheStart: ("fresh_variant_is_the_identity_exactly_where_it_says", "a gate is open"),
    ShutUnsaid: ("fresh_variant_is_the_identity_exactly_where_it_says", "has to say"),
    BatchStatistic: ("batch_equals_singles", "something mixes clips"),
    AnswersItself: ("the_answer_is_the_unets", "not what the UNet's last layer made"),
    OwnSchedule: ("the_answer_is_the_unets", "conv_in gets other latents"),
    HeadOfItsOwn: ("own_terms_train_what_the_images_use", r"variant\.router\.bias"),
    WrongSign: ("own_terms_pull_where_they_say", "the sign of the term is wrong"),
    UnstatedEntropy: ("own_terms_pull_where_they_say", "to raise or to lower"),
    Standardised: ("loudness_is_heard", "takes the loudness away"),
    Deaf: ("every_feature_it_asks_for_is_heard", "clap_pooled changes the output by only 0"),
    UnreadFeature: ("every_feature_it_asks_for_is_heard", "another clip's log_mel"),
    ToldTheClass: ("tokens_depend_on_nothing_undeclared", "given the answer"),
    ReadsTheCaption: ("tokens_depend_on_nothing_undeclared", "change with the caption"),
    BlindToItsClass: ("every_feature_it_asks_for_is_heard", "another class changes the output"),
    OtherOrderInTraining: (
        "training_and_sampling_see_the_same_conditioning",
        "the audio tokens differ",
    ),
    DeadModule: ("gradient_reaches_every_parameter_a_stage_trains", r"variant\.unused\.bias"),
    Detached: ("gradient_reaches_every_parameter_a_stage_trains", r"variant\.project\.weight"),
    MovesTheUnet: ("frozen_parameters_stay_frozen", "changed the frozen UNet"),
    MovesItselfInStage3: (
        "frozen_parameters_stay_frozen",
        r"stage3 changed variant\.project\.bias",
    ),
    Unsaved: ("state_survives_a_safetensors_file", "not in the state dict"),
    KeepsTheTensor: ("state_survives_a_safetensors_file", "assign=True"),
    Lingers: ("attaching_and_detaching_leave_the_unet_as_it_was", "a hook of the variant stays"),
    MovesIn: ("attaching_and_detaching_leave_the_unet_as_it_was", "changed the keys"),
    KnowsTheOrder: ("plain_pipeline_paints_what_our_sampler_does", "the order of rows"),
    Float32Only: ("bfloat16_unet_is_served", "(?i)bfloat16"),
    IgnoresTheDevice: ("parameter_counts_need_no_weights", "shift_C ignore the current device"),
    HalfWeights: ("parameters_can_be_trained", "shift_C is bfloat16"),
    GateOfNobody: ("parameter_groups_hold_every_parameter_once", "must name parameters"),
    GateWithoutValue: ("parameter_groups_hold_every_parameter_once", "a finite number for each"),
    DrawnElsewhere: ("same_seed_builds_the_same_variant", r"project\.bias differ"),
    TakesAnyKey: ("settings_are_documented_and_refuse_unknown_keys", "`extra` at forbid"),
    Undocumented: ("settings_are_documented_and_refuse_unknown_keys", "warmth"),
    SearchesTooFar: ("search_space_yields_settings_it_can_be_built_from", "'num_tokens': 0"),
    SearchesPastItsDefault: (
        "default_settings_lie_in_the_search_space",
        "leaves out num_tokens = 2",
    ),
    SearchesInOtherSteps: (
        "default_settings_lie_in_the_search_space",
        "leaves out num_tokens = 2",
    ),
    SaysOtherwise: ("default_settings_lie_in_the_search_space", "those that are set unchanged"),
    SearchesUnset: (
        "search_space_yields_settings_it_can_be_built_from",
        "leaves num_layers unset",
    ),
    StaysBehind: ("a_gpu_can_compute_it", r"got one of shape \[16\] on the CPU.*register_buffer"),
    NeverTwice: ("a_gpu_can_compute_it", "avg_pool2d_backward_cuda has no deterministic form"),
    SearchesElsewhere: ("search_space_yields_settings_it_can_be_built_from", "draws token_count"),
}


def contract_of(cls: type[Variant]) -> type[VariantContract]:
    return type(cls.__name__, (VariantContract,), {"variant": cls, "foundation": SMALLER})


def test_a_variant_without_defects_passes_every_check() -> None:
    """Catches: a check that asks for more than the contract promises."""
    assert violations(contract_of(Sound)) == {}
    assert violations(contract_of(ToldAndDeclared)) == {}
    for other in (HeadDeclared, Routed, KeepsLoudness):
        assert violations(contract_of(other)) == {}


def test_loudness_is_heard_exactly_where_the_variant_does_not_deny_it() -> None:
    """Catches: a declaration that is not true, and one that does not lift the check."""
    denied = type("Denied", (Standardised,), {"hears_loudness": False})
    assert violations(contract_of(denied)) == {}
    untrue = type("Untrue", (KeepsLoudness,), {"hears_loudness": False})
    found = violations(contract_of(untrue))
    assert sorted(found) == ["test_loudness_is_heard"]
    assert "leave the line out" in found["test_loudness_is_heard"]


def test_a_class_that_is_declared_and_never_read_is_caught() -> None:
    """Catches: a ceiling that knows no more than the floor."""
    declared = type("Declared", (Sound,), {"reads_class": True})
    found = violations(contract_of(declared))
    assert sorted(found) == [
        "test_every_feature_it_asks_for_is_heard",
        "test_tokens_depend_on_nothing_undeclared",
    ]


@pytest.mark.parametrize("cls", CAUGHT_BY, ids=lambda cls: cls.__name__)
def test_a_defect_is_caught_by_its_check_and_no_other(cls: type[Variant]) -> None:
    """Catches: a check that passes everything, or cries over a neighbour's defect."""
    check, sentence = CAUGHT_BY[cls]
    found = violations(contract_of(cls))
    assert list(found) == [f"test_{check}"]
    with pytest.raises(AssertionError, match=sentence):
        raise AssertionError(found[f"test_{check}"])


def test_a_variant_that_draws_when_it_samples_is_reported() -> None:
    """Catches: an image that could not be made again. Every comparison bit by bit may fail too."""
    found = violations(contract_of(Wavering))
    assert "be repeated" in found["test_training_and_sampling_see_the_same_conditioning"]


def test_a_batch_statistic_of_training_alone_is_caught() -> None:
    """Catches: BatchNorm, which every check in eval mode lets pass."""
    found = violations(contract_of(BatchStatisticInTraining))
    assert sorted(found) == [
        "test_clips_are_apart_in_training",
        "test_training_and_sampling_see_the_same_conditioning",
    ]
    assert "in training mode a clip's tokens change" in found["test_clips_are_apart_in_training"]


def test_every_check_has_a_variant_that_it_catches() -> None:
    """Catches: a check added to the contract that was never seen to fail."""
    checks = {name for name in dir(VariantContract) if name.startswith("test_")}
    caught = {f"test_{check}" for check, _ in CAUGHT_BY.values()}
    assert checks == caught | set(violations(contract_of(BatchStatisticInTraining)))


def test_every_promise_is_in_the_documentation() -> None:
    """Catches: a check that an inventor meets only when it fails, or a promise nothing checks."""
    text = (Path(__file__).parents[3] / "docs" / "variants.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([a-z_0-9]+)` \| [A-Z`]", text, flags=re.MULTILINE)
    assert {f"test_{name}" for name in listed} == {
        name for name in dir(VariantContract) if name.startswith("test_")
    }
