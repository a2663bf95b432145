"""The contract catches what it is for: variants with one defect each fail one check each."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from pydantic import ConfigDict, Field
from torch import Tensor, nn

from core.conditioning.attention import (
    AudioProcessor,
    DecoupledAttention,
    DecoupledKeyValue,
    JointAttention,
)
from core.conditioning.attention_variant import AttentionVariant
from core.conditioning.conditioning import AudioFeature, Conditioning, ConditioningInputs
from core.conditioning.gates import SigmoidGate
from core.conditioning.goals import Goal, Pull
from core.conditioning.shapes import FoundationShapes
from core.conditioning.variant import UnetAdapterKind, Variant, VariantConfig
from harness.testing import SmallFoundation, VariantContract, violations

POOLED = AudioFeature.CLAP_POOLED
SMALLER = SmallFoundation(channels=(16,), latent_size=4, context_dim=16)


class SoundConfig(VariantConfig):
    """Settings of a variant without defects."""

    num_tokens: int = Field(default=2, ge=1)
    """Audio tokens."""


class Sound(AttentionVariant):
    """Keeps every promise; each class below breaks one."""

    name = "sound"
    summary = "a linear layer to tokens beside the text"
    Config: ClassVar[type[VariantConfig]] = SoundConfig
    unet_adapter = UnetAdapterKind.NONE  # a third of the time, and tested elsewhere

    def __init__(self, config: Any, *, shapes: FoundationShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.project = nn.Linear(shapes.clap_pooled_dim, config.num_tokens * shapes.context_dim)
        self.dropout = nn.Dropout(0.5)
        self.gate = SigmoidGate(0.5)

    @property
    def audio_features(self) -> frozenset[AudioFeature]:
        return frozenset({POOLED})

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        tokens_BD = self.project(self.dropout(3 * inputs.audio[POOLED]))
        return tokens_BD.unflatten(-1, (-1, self.shapes.context_dim))

    def processor(self) -> AudioProcessor:
        return JointAttention(self.gate, num_text_tokens=self.shapes.num_text_tokens)

    def processors(self) -> dict[str, AudioProcessor]:
        return {block.path: self.processor() for block in self.shapes.blocks}

    def gates(self) -> dict[str, nn.Parameter]:
        return {"gate": self.gate.raw}

    def gate_values(self) -> dict[str, float]:
        return {"gate": self.gate().item()}

    @classmethod
    def search_space(cls, trial: Any) -> dict[str, Any]:
        return {"num_tokens": trial.suggest_int("num_tokens", 1, 4)}


class NoticedSilence(Sound):
    """Absent tokens keep their share of the softmax."""

    class Processor(JointAttention):
        def attend(self, attn: Any, x_BQW: Tensor, **context: Tensor) -> Tensor:
            present_BN = torch.ones_like(context["present_BN"])
            return super().attend(attn, x_BQW, **{**context, "present_BN": present_BN})

    def processor(self) -> AudioProcessor:
        return self.Processor(self.gate, num_text_tokens=self.shapes.num_text_tokens)


class OpenFromTheStart(Sound):
    """Promises to start as the identity with its gate half open."""

    is_identity_at_init = True


class ShutUnsaid(Sound):
    """Starts with gates at 0 and does not say so."""

    def __init__(self, config: Any, *, shapes: FoundationShapes) -> None:
        super().__init__(config, shapes=shapes)
        del self.gate
        self.layers = nn.ModuleList(
            DecoupledKeyValue(block, context_dim=shapes.context_dim, gate_init=0.0)
            for block in shapes.blocks
        )

    def processors(self) -> dict[str, AudioProcessor]:
        return {
            block.path: DecoupledAttention(layer, num_text_tokens=self.shapes.num_text_tokens)
            for block, layer in zip(self.shapes.blocks, self.layers, strict=True)
        }

    def gates(self) -> dict[str, nn.Parameter]:
        return {str(index): layer.gate.raw for index, layer in enumerate(self.layers)}

    def gate_values(self) -> dict[str, float]:
        return {str(index): layer.gate().item() for index, layer in enumerate(self.layers)}


class BatchStatistic(Sound):
    """Takes the mean over the clips beside it."""

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        tokens_BNC = super().audio_tokens(inputs)
        return tokens_BNC - 0.5 * tokens_BNC.mean(dim=0)


class BatchStatisticInTraining(Sound):
    """Takes the mean over the clips beside it while it trains, as BatchNorm does."""

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        tokens_BNC = super().audio_tokens(inputs)
        return tokens_BNC - 0.5 * tokens_BNC.mean(dim=0) if self.training else tokens_BNC


class Hooked(Sound):
    """Hooks at the ends of the UNet that act on the rows that have a sound."""

    def attach(self, unet: nn.Module) -> None:
        super().attach(unet)
        first = unet.register_forward_pre_hook(self._note, with_kwargs=True)
        self._hooks = (first, self.hook(unet))

    def hook(self, unet: nn.Module) -> Any:
        raise NotImplementedError

    def _note(self, module: nn.Module, args: Any, words: dict[str, Any]) -> None:
        tokens_BNC = words["encoder_hidden_states"][:, self.shapes.num_text_tokens :]
        self._factor_B111 = 1 - 0.1 * (tokens_BNC != 0).any(-1).any(-1)[:, None, None, None].float()

    def detach(self) -> None:
        super().detach()
        for hook in self.__dict__.pop("_hooks", ()):
            hook.remove()


class AnswersItself(Hooked):
    """Puts something else in place of the UNet's answer."""

    def hook(self, unet: nn.Module) -> Any:
        return unet.conv_out.register_forward_hook(
            lambda m, args, out: out * self._factor_B111.to(out)
        )


class OwnSchedule(Hooked):
    """Scales the noisy latents by a schedule of its own."""

    def hook(self, unet: nn.Module) -> Any:
        return unet.conv_in.register_forward_pre_hook(
            lambda m, args: (args[0] * self._factor_B111.to(args[0]),)
        )


class HeadOfItsOwn(Sound):
    """A layer that its own term alone reads."""

    def __init__(self, config: Any, *, shapes: FoundationShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.router = nn.Linear(shapes.clap_pooled_dim, 3)

    def auxiliary_losses(
        self, inputs: ConditioningInputs, conditioning: Conditioning, *, stage: str
    ) -> Mapping[str, Tensor]:
        share_BK = self.router(inputs.audio[POOLED]).softmax(-1)
        return {"balance": share_BK.mean(0).square().sum()} if stage != "stage3" else {}

    def has_auxiliary_losses(self, stage: str) -> bool:
        return stage != "stage3"


class HeadDeclared(HeadOfItsOwn):
    """The same, as it says: no defect."""

    def loss_only_parameters(self) -> frozenset[str]:
        return frozenset({"router.weight", "router.bias"})


class Routed(Sound):
    """A share of each token, whose entropy a term of the loss raises: no defect."""

    sign = -1.0

    def __init__(self, config: Any, *, shapes: FoundationShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.route_N = nn.Parameter(torch.linspace(0.5, -0.5, config.num_tokens))

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        return super().audio_tokens(inputs) * self.route_N.softmax(0)[:, None]

    def entropy(self) -> Tensor:
        share_N = self.route_N.softmax(0)
        return -(share_N * share_N.log()).sum()

    def auxiliary_losses(
        self, inputs: ConditioningInputs, conditioning: Conditioning, *, stage: str
    ) -> Mapping[str, Tensor]:
        return {"entropy": self.sign * 0.01 * self.entropy()} if stage != "stage3" else {}

    def has_auxiliary_losses(self, stage: str) -> bool:
        return stage != "stage3"

    def goals(
        self, inputs: ConditioningInputs, conditioning: Conditioning, *, stage: str
    ) -> Mapping[str, Goal]:
        return {"entropy": Goal(self.entropy(), Pull.RAISE)}


class WrongSign(Routed):
    """Lowers the entropy that it is to raise."""

    sign = 1.0


class UnstatedEntropy(Routed):
    """Says nothing of where its entropy is to go."""

    def goals(self, *args: Any, **words: Any) -> Mapping[str, Goal]:
        return {}


class Standardised(Sound):
    """Standardises each clip's log-mel, which takes its loudness away."""

    def __init__(self, config: Any, *, shapes: FoundationShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.project = nn.Linear(
            shapes.log_mel[0] * shapes.log_mel[1], config.num_tokens * shapes.context_dim
        )

    @property
    def audio_features(self) -> frozenset[AudioFeature]:
        return frozenset({AudioFeature.LOG_MEL})

    def level(self, log_mel_BD: Tensor) -> Tensor:
        return log_mel_BD - log_mel_BD.mean(dim=1, keepdim=True)

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        log_mel_BD = self.level(inputs.audio[AudioFeature.LOG_MEL].flatten(1))
        return self.project(self.dropout(log_mel_BD)).unflatten(-1, (-1, self.shapes.context_dim))


class KeepsLoudness(Standardised):
    """The same by numbers of the data set: no defect."""

    def level(self, log_mel_BD: Tensor) -> Tensor:
        return log_mel_BD + 0.3


class Deaf(Sound):
    """The sound collapses before the first layer."""

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        collapsed = torch.ones_like(inputs.audio[POOLED])
        tokens_BD = self.project(self.dropout(collapsed))
        return tokens_BD.unflatten(-1, (-1, self.shapes.context_dim))


class UnreadFeature(Sound):
    """Asks for a spectrogram and reads the embedding alone."""

    @property
    def audio_features(self) -> frozenset[AudioFeature]:
        return frozenset({POOLED, AudioFeature.LOG_MEL})


class ToldTheClass(Sound):
    """Adds what it should hear to what it hears."""

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        return super().audio_tokens(inputs) + inputs.class_index_B[:, None, None]


class ReadsTheCaption(Sound):
    """Carries the caption into tokens that dropping the text leaves in place."""

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        return super().audio_tokens(inputs) + inputs.text_BLC.mean(dim=1, keepdim=True)


class ToldAndDeclared(Sound):
    """A control that hears and is told, as it says: no defect."""

    is_control = True
    reads_class = True

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        return super().audio_tokens(inputs) * (1 + inputs.class_index_B[:, None, None])


class BlindToItsClass(ToldAndDeclared):
    """Loses its class between the tokens and the UNet."""

    class Processor(JointAttention):
        def attend(self, attn: Any, x_BQW: Tensor, **context: Tensor) -> Tensor:
            audio_BNC = nn.functional.normalize(context["audio_BNC"], dim=-1)
            return super().attend(attn, x_BQW, **{**context, "audio_BNC": audio_BNC})

    def processor(self) -> AudioProcessor:
        return self.Processor(self.gate, num_text_tokens=self.shapes.num_text_tokens)


class OtherOrderInTraining(Sound):
    """Turns the tokens round in training alone."""

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        tokens_BNC = super().audio_tokens(inputs)
        return tokens_BNC.flip(1) if self.training else tokens_BNC


class Wavering(Sound):
    """Draws noise on its tokens whenever it is asked."""

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        tokens_BNC = super().audio_tokens(inputs)
        return tokens_BNC + 1e-6 * torch.rand_like(tokens_BNC)


class DeadModule(Sound):
    """Builds a layer that nothing calls."""

    def __init__(self, config: Any, *, shapes: FoundationShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.unused = nn.Linear(3, 3)


class Detached(Sound):
    """Cuts the gradient off behind its layer."""

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        return super().audio_tokens(inputs).detach()


class MovesTheUnet(Sound):
    """Changes a weight of the frozen UNet while it trains."""

    def attach(self, unet: nn.Module) -> None:
        super().attach(unet)
        self._weights = (next(unet.parameters()),)

    def auxiliary_losses(
        self, inputs: ConditioningInputs, conditioning: Conditioning, *, stage: str
    ) -> Mapping[str, Tensor]:
        self._weights[0].data.mul_(1.001)
        return {}


class MovesItselfInStage3(Sound):
    """Changes a weight of its own in the stage that trains gates alone."""

    def auxiliary_losses(
        self, inputs: ConditioningInputs, conditioning: Conditioning, *, stage: str
    ) -> Mapping[str, Tensor]:
        if stage == "stage3":
            self.project.bias.data.add_(0.1)
        return {}


class Unsaved(Sound):
    """Keeps a tensor that shapes the tokens outside its state."""

    def __init__(self, config: Any, *, shapes: FoundationShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.shift = [torch.randn(shapes.context_dim)]

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        return super().audio_tokens(inputs) + self.shift[0]


class KeepsTheTensor(Sound):
    """Its processors hold the gate's tensor, which loading replaces."""

    def processor(self) -> AudioProcessor:
        raw = self.gate.raw

        class Held:
            def __call__(self) -> Tensor:
                return torch.sigmoid(raw)

        return JointAttention(Held(), num_text_tokens=self.shapes.num_text_tokens)


class Lingers(Sound):
    """Leaves a hook behind."""

    def attach(self, unet: nn.Module) -> None:
        super().attach(unet)
        unet.conv_in.register_forward_hook(lambda module, args, output: None)


class MovesIn(Sound):
    """Registers a module in the UNet for as long as it is attached."""

    def attach(self, unet: nn.Module) -> None:
        super().attach(unet)
        unet.listener = nn.Linear(1, 1).requires_grad_(False)
        self._unet = (unet,)

    def detach(self) -> None:
        super().detach()
        if "_unet" in self.__dict__:
            del self._unet[0].listener
            del self._unet


class KnowsTheOrder(Sound):
    """Takes the second half of a doubled batch for the rows without condition."""

    class Processor(JointAttention):
        def attend(self, attn: Any, x_BQW: Tensor, **context: Tensor) -> Tensor:
            present_BN = context["present_BN"].clone()
            if len(present_BN) == 8:
                present_BN[4:] = False
            return super().attend(attn, x_BQW, **{**context, "present_BN": present_BN})

    def processor(self) -> AudioProcessor:
        return self.Processor(self.gate, num_text_tokens=self.shapes.num_text_tokens)


class Float32Only(Sound):
    """Looks at its input through numpy, which knows no bfloat16."""

    class Processor(JointAttention):
        def attend(self, attn: Any, x_BQW: Tensor, **context: Tensor) -> Tensor:
            self.loudest = float(np.abs(x_BQW.detach().numpy()).max())
            return super().attend(attn, x_BQW, **context)

    def processor(self) -> AudioProcessor:
        return self.Processor(self.gate, num_text_tokens=self.shapes.num_text_tokens)


class IgnoresTheDevice(Sound):
    """Names a device where it should leave that to the caller."""

    def __init__(self, config: Any, *, shapes: FoundationShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.shift_C = nn.Parameter(torch.zeros(shapes.context_dim, device="cpu"))

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        return super().audio_tokens(inputs) + self.shift_C


class GateOfNobody(Sound):
    """Names a copy of its gate."""

    def gates(self) -> dict[str, nn.Parameter]:
        return {"gate": nn.Parameter(self.gate.raw.detach().clone())}


class GateWithoutValue(Sound):
    """Logs its gate under another name than it trains it."""

    def gate_values(self) -> dict[str, float]:
        return {"mean": 0.5}


class DrawnElsewhere(Sound):
    """Draws initial weights from numpy's global generator."""

    def __init__(self, config: Any, *, shapes: FoundationShapes) -> None:
        super().__init__(config, shapes=shapes)
        bias = np.random.standard_normal(self.project.bias.shape)
        with torch.no_grad():
            self.project.bias.copy_(torch.from_numpy(bias))


class LaxConfig(SoundConfig):
    """Takes any key."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class TakesAnyKey(Sound):
    """A misspelt setting passes."""

    Config = LaxConfig


class SilentConfig(SoundConfig):
    """Has a setting without a line."""

    warmth: float = 0.0


class Undocumented(Sound):
    """A setting that nobody can understand."""

    Config = SilentConfig


class SearchesTooFar(Sound):
    """Tries what its own settings refuse, at the end of a range."""

    @classmethod
    def search_space(cls, trial: Any) -> dict[str, Any]:
        return {"num_tokens": trial.suggest_int("num_tokens", 0, 10_000)}


class SearchesElsewhere(Sound):
    """Tries a setting it does not have."""

    @classmethod
    def search_space(cls, trial: Any) -> dict[str, Any]:
        return {"token_count": trial.suggest_int("token_count", 1, 4)}


class SearchesPastItsDefault(Sound):
    """Its search never tries the branch as it is."""

    @classmethod
    def search_space(cls, trial: Any) -> dict[str, Any]:
        return {"num_tokens": trial.suggest_int("num_tokens", 3, 4)}


class SearchesInOtherSteps(Sound):
    """Its search steps over the default."""

    @classmethod
    def search_space(cls, trial: Any) -> dict[str, Any]:
        return {"num_tokens": trial.suggest_int("num_tokens", 1, 5, step=2)}


class UnsettableConfig(SoundConfig):
    """A setting that no file can leave unset."""

    num_layers: int | None = None
    """Layers; unset is one."""


class SearchesUnset(Sound):
    """Draws None, which its settings do not know by name."""

    Config = UnsettableConfig

    @classmethod
    def search_space(cls, trial: Any) -> dict[str, Any]:
        return {"num_tokens": trial.suggest_int("num_tokens", 1, 4), "num_layers": None}


class HidesConfig(SoundConfig):
    """Says something else of itself than what is set."""

    def in_effect(self) -> dict[str, Any]:
        return {"num_tokens": 3}


class SaysOtherwise(Sound):
    """Its settings in effect are not those that are set."""

    Config = HidesConfig


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
