"""Which parameters weight decay leaves alone, and that the loop does as told."""

from collections.abc import Callable

import pytest
import torch
from diffusers import DDPMScheduler
from torch import nn

from core.conditioning.attached import AttachedVariant
from core.foundation.mamba.config import MambaEncoderConfig
from core.foundation.mamba.encoder import MambaAudioEncoder
from core.training.decay import undecayed
from core.training.objective import TrainingData
from core.training.plan import TrainingPlan
from core.training.stage_loop import StageLoop


def undecayed_names(model: nn.Module) -> set[str]:
    exempt = undecayed(list(model.parameters()), modules=model.modules())
    return {name for name, parameter in model.named_parameters() if id(parameter) in exempt}


@pytest.mark.parametrize("block", ["v1", "v2", "mamba2"])
def test_a_mamba_encoder_decays_its_matrices_alone(block: str) -> None:
    """Catches: rates pulled towards 1, norms towards 0, positions towards none."""
    config = MambaEncoderConfig(
        log_mel=(16, 16), patch=(8, 8), width=16, depth=2, state_dim=4, block=block
    )
    with torch.device("meta"):
        model = MambaAudioEncoder(config)
    decayed = {n.split(".", 2)[-1] for n, _ in model.named_parameters()} - {
        n.split(".", 2)[-1] for n in undecayed_names(model)
    }
    assert decayed
    assert all(name.endswith("weight") and "norm" not in name for name in decayed), decayed
    kept = {name.rsplit(".", 1)[-1] for name in undecayed_names(model)}
    assert kept >= {"A_log", "D", "bias", "cls_W", "position_LW"}
    assert "patch_embed.weight" not in undecayed_names(model)


def test_a_vector_is_a_vector_however_many_axes_it_is_written_with() -> None:
    """Catches: the scales of (IA)^3, [1, W], and a gate, [], taken for matrices."""
    shapes = [(), (5,), (1, 5), (5, 1), (5, 1, 1), (1, 1, 5)]
    vectors = [nn.Parameter(torch.ones(shape)) for shape in shapes]
    matrices = [nn.Parameter(torch.ones(shape)) for shape in [(5, 2), (5, 1, 4)]]
    assert undecayed([*vectors, *matrices], modules=[]) == {id(v) for v in vectors}


def test_a_module_that_names_a_parameter_it_has_not_is_an_error() -> None:
    """Catches: a misspelt name that decays in silence."""

    class Misspelt(nn.Module):
        no_weight_decay = ("A_lgo",)

    with pytest.raises(AttributeError, match="A_lgo"):
        undecayed([], modules=[Misspelt()])


def test_the_loop_decays_matrices_and_nothing_else(
    make_model: Callable[[], AttachedVariant],
    data: TrainingData,
    plan: TrainingPlan,
    scheduler: DDPMScheduler,
) -> None:
    """Catches: a rule that is written down and not followed, or a parameter in no group."""
    model = make_model()
    loop = StageLoop(
        model,
        data=data,
        plan=plan,
        stage_index=1,
        scheduler=scheduler,
        latent_shape=(4, 4, 4),
        seed=0,
        use_adapter=True,
    )
    decay = {
        id(parameter): group["weight_decay"]
        for group in loop.optimizer.param_groups
        for parameter in group["params"]
    }
    assert decay.keys() == {id(parameter) for parameter in loop.trained.values()}
    decayed = {name for name, parameter in loop.trained.items() if decay[id(parameter)] > 0}
    trunk = {f"variant.adapter.trunk.{layer}.weight" for layer in (0, 4, 8)}
    lora = {name for name in loop.trained if name.startswith("unet_adapter.")}
    assert lora
    assert decayed == trunk | lora
