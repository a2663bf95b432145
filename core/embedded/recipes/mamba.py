"""The Mamba audio encoder, pretrained on sounds alone by masked patches as SSAMBA was.

Half of the patches are hidden; two heads guess each hidden one from its token: one must tell it
from the clip's other hidden patches (InfoNCE), one must draw it (mean squared error, weighted 10),
SSAMBA's objective (arXiv 2405.11831, section 3.3, after SSAST, arXiv 2110.09784, eq. 1 to 3).

Legend: B batch, M mel bands, T frames, L patches, K hidden patches, W width, P values of a patch,
N samples.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from core.embedded.corpus.classes import ATTRIBUTES
from core.embedded.corpus.sound import SAMPLE_RATE_HZ
from core.embedded.recipes.contrast import ridge_error
from core.embedded.recipes.loop import Recipe, train
from core.embedded.recipes.plan import Plan
from core.embedded.recipes.samples import Samples, sound_samples
from core.features.log_mel import LogMelSettings, log_mel
from core.foundation.mamba.config import Layout, MambaEncoderConfig
from core.foundation.mamba.encoder import MambaAudioEncoder
from core.randomness import rng, torch_seeded

NUM_TRAIN, NUM_HELD_OUT = 6_000, 4_000  # half of the held-out fits the read-out
STEPS = 4_000
HIDDEN_SHARE = 0.5
DRAWING_WEIGHT = 10.0
LOG_MEL = LogMelSettings(
    sample_rate_hz=SAMPLE_RATE_HZ,
    num_mels=64,
    num_frames=128,
    window_s=0.0427,
    hop_s=0.0232,
    f_min_hz=50.0,
    f_max_hz=20_000.0,
)
"""The tiny profile's: 128 frames cover three seconds, and the range reaches the hiss."""


def config() -> MambaEncoderConfig:
    """Full-height patches: one token for each of 32 moments."""
    return MambaEncoderConfig(
        log_mel=(LOG_MEL.num_mels, LOG_MEL.num_frames),
        layout=Layout.PLAIN,
        patch=(64, 4),
        width=64,
        depth=2,
        state_dim=8,
    )


def recipe(plan: Plan) -> Recipe:
    """Trained on one core in about ten minutes."""
    return Recipe(
        steps=plan.steps(STEPS),
        batch_size=48,
        learning_rate=2e-3,
        weight_decay=0.05,
        ema_decay=0.997,
    )


def heard(plan: Plan, namespace: str, count: int) -> Samples:
    """Log-mel spectrograms, float16 [N, M, T]."""

    def listen(clip: np.ndarray) -> np.ndarray:
        return log_mel(torch.from_numpy(clip)[None], settings=LOG_MEL)[0].numpy().astype(np.float16)

    return sound_samples(plan, namespace, count, kind="log-mel", listen=listen)


class MaskedPatches(nn.Module):
    """The encoder between what pretraining alone needs: a mask token and two heads."""

    def __init__(self, encoder: MambaAudioEncoder) -> None:
        super().__init__()
        width, patch = encoder.config.width, encoder.config.patch
        num_values = patch[0] * patch[1]
        self.encoder = encoder
        self.mask_W = nn.Parameter(0.02 * torch.randn(width))
        self.tell = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, num_values))
        self.draw = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, num_values))

    def forward(self, log_mel_BMT: Tensor, hidden_BK: Tensor) -> tuple[Tensor, Tensor]:
        """InfoNCE and mean squared error of the hidden patches, whose places are given."""
        patch = self.encoder.config.patch
        values_BLP = F.unfold(log_mel_BMT[:, None], kernel_size=patch, stride=patch).mT
        embedded_BLW = self.encoder.patch_embed(log_mel_BMT[:, None]).flatten(2).mT
        is_hidden_BL = torch.zeros(embedded_BLW.shape[:2], dtype=torch.bool)
        is_hidden_BL.scatter_(1, hidden_BK, True)
        masked_BLW = torch.where(is_hidden_BL[..., None], self.mask_W, embedded_BLW)
        tokens_BLW = self.encoder.encode_patches(masked_BLW)[:, 1:]
        tokens_BKW = _taken(tokens_BLW, hidden_BK)
        true_BKP = _taken(values_BLP, hidden_BK)
        # Products of unnormalised vectors, as SSAST's code has them; scaled as attention is.
        scores_BKK = self.tell(tokens_BKW) @ true_BKP.mT / true_BKP.shape[-1] ** 0.5
        target_BK = torch.arange(hidden_BK.shape[1]).expand(len(hidden_BK), -1)
        telling = F.cross_entropy(scores_BKK.flatten(0, 1), target_BK.flatten())
        return telling, F.mse_loss(self.draw(tokens_BKW), true_BKP)


def _taken(rows_BLX: Tensor, places_BK: Tensor) -> Tensor:
    return rows_BLX.gather(1, places_BK[..., None].expand(-1, -1, rows_BLX.shape[-1]))


def hidden_places(draw: np.random.Generator, *, batch: int, num_patches: int) -> Tensor:
    """int64 [B, K]: which patches of each clip are hidden, in order."""
    num_hidden = max(2, round(HIDDEN_SHARE * num_patches))
    order = np.argsort(draw.random((batch, num_patches)), axis=1)[:, :num_hidden]
    return torch.from_numpy(np.sort(order, axis=1))


def train_mamba(plan: Plan) -> tuple[MambaAudioEncoder, float]:
    """The encoder and the seconds that training took."""
    samples = heard(plan, "mamba", plan.count(NUM_TRAIN))
    settings = recipe(plan)
    with torch_seeded(plan.seed, "mamba", "init"):
        model = MaskedPatches(MambaAudioEncoder(config()))
    num_patches = model.encoder.grid[0] * model.encoder.grid[1]

    def loss_at(step: int) -> Tensor:
        draw = rng(plan.seed, "mamba", "batch", step)
        chosen = draw.integers(0, len(samples), settings.batch_size)
        log_mel_BMT = torch.from_numpy(samples.values[chosen].astype(np.float32))
        places = hidden_places(draw, batch=len(chosen), num_patches=num_patches)
        telling, drawing = model(log_mel_BMT, places)
        return telling + DRAWING_WEIGHT * drawing

    seconds = train([model], loss_at, settings, name="mamba")
    return model.encoder.eval(), seconds


@dataclass(frozen=True)
class MambaQuality:
    """What the tokens of held-out clips tell, without a single label in training.

    Errors of a linear read-out of each attribute; guessing gives 0.25.
    """

    pooled_attribute_mae: dict[str, float]
    """From the mean and the deviation of the tokens over time."""
    sequence_attribute_mae: dict[str, float]
    """From all tokens in order."""
    untrained_pooled_attribute_mae: dict[str, float]
    """The same before training: what the architecture gives away."""
    untrained_sequence_attribute_mae: dict[str, float]
    """Likewise."""


@torch.no_grad()
def measure_mamba(plan: Plan, encoder: MambaAudioEncoder) -> MambaQuality:
    """Quality on a namespace that trained nothing."""
    samples = heard(plan, "held-out", plan.count(NUM_HELD_OUT))
    log_mel_NMT = torch.from_numpy(samples.values.astype(np.float32))
    with torch_seeded(plan.seed, "mamba", "init"):
        untrained = MaskedPatches(MambaAudioEncoder(config())).encoder.eval()
    columns = dict(zip(ATTRIBUTES, samples.attributes.T, strict=True))
    errors: list[dict[str, float]] = []
    for model in (encoder, untrained):
        tokens_NLW = torch.cat([model(part)[:, 1:] for part in log_mel_NMT.split(100)])
        pooled = torch.cat([tokens_NLW.mean(dim=1), tokens_NLW.std(dim=1)], dim=1)
        for features in (pooled, tokens_NLW.flatten(1)):
            errors.append({name: ridge_error(features, column) for name, column in columns.items()})
    return MambaQuality(*errors)
