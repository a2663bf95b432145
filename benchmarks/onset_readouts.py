"""Rungs 1 to 3 of `onset_study.py`: how far up the time of an event can be read.

Shape legend: N clips, T tokens, W width, H heads, Q image cells, E width of a head.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.onset_model import ONSET, Branch
from core.conditioning.attention import split_heads
from core.conditioning.conditioning import AudioFeature, Conditioning
from core.embedded.corpus.classes import CLASSES
from core.embedded.recipes.words import SEEN, UNNAMED
from core.randomness import normal, torch_seeded
from core.training.plan import LossWeighting, timestep_weights

CODE_WAVES = (0.25, 0.5, 1.0, 2.0)
_BATCH = 50


def ridge_error(
    train_ND: Tensor, test_ND: Tensor, *, train_N: np.ndarray, test_N: np.ndarray
) -> float:
    """Mean absolute test error of a linear read-out; its penalty is the best of three."""
    mean, std = train_ND.mean(0), train_ND.std(0) + 1e-6
    x, z = (
        torch.cat([((part - mean) / std).double(), torch.ones(len(part), 1).double()], dim=1)
        for part in (train_ND, test_ND)
    )
    y = torch.from_numpy(train_N).double()
    errors = []
    for penalty in (10.0, 100.0, 1000.0):
        gram = x.T @ x + penalty * torch.eye(x.shape[1]).double()
        read = (z @ torch.linalg.solve(gram, x.T @ y)).numpy()
        errors.append(float(np.abs(read - test_N).mean()))
    return min(errors)


def attention_error(
    train_NTW: Tensor, test_NTW: Tensor, *, train_N: np.ndarray, test_N: np.ndarray, seed: int
) -> float:
    """Mean absolute test error of what one softmax of four heads can read, trained on onset alone.

    Keys and values of a token come from the token, as in a cross-attention: it reads a set.
    """
    mean, std = train_NTW.mean((0, 1)), train_NTW.std((0, 1)) + 1e-6
    x, z = ((part - mean) / std for part in (train_NTW, test_NTW))
    y = torch.from_numpy(train_N).float()
    heads, width = 4, 8
    with torch_seeded(seed, "onset study", "attention"):
        net = nn.ModuleDict(
            {
                "key": nn.Linear(x.shape[-1], heads),
                "value": nn.Linear(x.shape[-1], heads * width),
                "out": nn.Linear(heads * width, 1),
            }
        )
        optimizer = torch.optim.AdamW(net.parameters(), 1e-2, weight_decay=0.05)

        def read(tokens_NTW: Tensor) -> Tensor:
            weight_NTH = net["key"](tokens_NTW).softmax(dim=1)
            value_NTHE = net["value"](tokens_NTW).unflatten(-1, (heads, width))
            return net["out"]((weight_NTH[..., None] * value_NTHE).sum(1).flatten(1))[:, 0]

        for _ in range(400):
            chosen = torch.randperm(len(x))[:128]
            loss = (read(x[chosen]) - y[chosen]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            return float(np.abs(read(z).numpy() - test_N).mean())


def with_codes(tokens_NTW: Tensor) -> Tensor:
    """The tokens, each with eight numbers that say its place."""
    place_T1 = torch.linspace(0.0, 1.0, tokens_NTW.shape[1])[:, None]
    angle = 2 * torch.pi * place_T1 * torch.tensor(CODE_WAVES)
    codes = torch.cat([angle.sin(), angle.cos()], dim=1).expand(len(tokens_NTW), -1, -1)
    return torch.cat([tokens_NTW, codes], dim=-1)


@torch.no_grad()
def encoder_tokens(branch: Branch, ids: list[str]) -> Tensor:
    """The encoder's tokens in time order [N, T, W], cls left out."""
    encoder = branch.ready.model.variant.encoder.eval()
    heard = branch.data.features.audio(AudioFeature.LOG_MEL, ids)
    return torch.cat([encoder(part)[:, 1:] for part in heard.split(_BATCH)])


def of_encoder(branch: Branch) -> dict[str, float]:
    """Errors of read-outs from the encoder and from CLAP; guessing gives .25."""
    split = branch.planned.prepared.split
    train, test = list(split.train), list(split.test) + list(split.val)
    y, z = branch.truth(train)[:, ONSET], branch.truth(test)[:, ONSET]
    heard, told = encoder_tokens(branch, train), encoder_tokens(branch, test)
    pooled = [branch.data.features.audio(AudioFeature.CLAP_POOLED, ids) for ids in (train, test)]
    places = [np.tile(np.linspace(0.0, 1.0, part.shape[1]), len(part)) for part in (heard, told)]
    goal = {"train_N": y, "test_N": z}
    by_place = heard.mean(0).var(0).sum() / heard.flatten(0, 1).var(0).sum()
    sets = [attention_error(heard, told, seed=seed, **goal) for seed in range(3)]
    coded = [
        attention_error(with_codes(heard), with_codes(told), seed=seed, **goal) for seed in range(3)
    ]
    return {
        "clap_pooled": ridge_error(*pooled, **goal),
        "tokens_in_order": ridge_error(heard.flatten(1), told.flatten(1), **goal),
        "mean_of_tokens": ridge_error(heard.mean(1), told.mean(1), **goal),
        "attention_over_tokens": float(np.mean(sets)),
        "attention_over_tokens_with_codes": float(np.mean(coded)),
        "place_of_one_token": ridge_error(
            heard.flatten(0, 1), told.flatten(0, 1), train_N=places[0], test_N=places[1]
        ),
        "share_of_variance_by_place": float(by_place),
    }


@dataclass(frozen=True)
class Attended:
    """One block's attention to sound in one pass."""

    weight_NHQT: Tensor
    heard_NQW: Tensor
    """What the image's cells got of it, before the gate."""


@contextmanager
def watching(branch: Branch, conditioning: Conditioning) -> Iterator[dict[str, Attended]]:
    """Fills the dictionary, by path of a block, with the attention of the next pass."""
    found: dict[str, Attended] = {}
    seen: dict[tuple[str, str], Tensor] = {}
    model, hooks = branch.ready.model, []
    layers = model.variant.layers_by_path()

    def keep(path: str, what: str) -> object:
        def hook(module: nn.Module, args: object, output: Tensor) -> None:
            seen[path, what] = output

        return hook

    for path, layer in layers.items():
        attn = model.unet.get_submodule(path).attn2
        hooks += [
            attn.to_q.register_forward_hook(keep(path, "query")),
            layer.audio_k.register_forward_hook(keep(path, "key")),
            layer.audio_v.register_forward_hook(keep(path, "value")),
        ]
    try:
        yield found
        for path in layers:
            heads = model.unet.get_submodule(path).attn2.heads
            query, key, value = (
                split_heads(seen[path, what], num_heads=heads) for what in ("query", "key", "value")
            )
            weight = (query @ key.mT / query.shape[-1] ** 0.5).softmax(dim=-1)
            found[path] = Attended(weight, (weight @ value).transpose(1, 2).flatten(2))
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def attention_at(branch: Branch, ids: list[str], *, timestep: int) -> dict[str, Attended]:
    """Each block's attention to the clips' own sounds, on their noised pictures."""
    foundation = branch.ready.foundation
    mean, _ = branch.data.features.latent_moments(ids, [False] * len(ids))
    latents = mean * branch.data.scaling_factor
    steps = torch.full((len(ids),), timestep)
    noise = normal(latents.shape, seed=0, name=("onset study", "attention", timestep))
    noisy = foundation.noise_scheduler.add_noise(latents, noise, steps)
    conditioning = branch.condition(ids)
    with watching(branch, conditioning) as found:
        branch.ready.model.predict(noisy, steps, conditioning.context())
    return found


def of_layers(branch: Branch, *, timestep: int = 950) -> dict[str, float]:
    """Errors of linear read-outs from what each block's cells got of the sound, by column.

    At a timestep where the noised picture itself gives hardly anything away.
    """
    split = branch.planned.prepared.split
    parts = [list(split.train), list(split.test) + list(split.val)]
    goal = dict(zip(("train_N", "test_N"), (branch.truth(p)[:, ONSET] for p in parts), strict=True))
    tokens = [branch.condition(ids).audio_BNC for ids in parts]
    found = [attention_at(branch, ids, timestep=timestep) for ids in parts]
    errors = {"tokens_in_order": ridge_error(*(t.flatten(1) for t in tokens), **goal)}
    sets = [attention_error(*tokens, seed=seed, **goal) for seed in range(3)]
    errors["attention_over_tokens"] = float(np.mean(sets))
    for path in found[0]:
        columns = []
        for attended in (part[path].heard_NQW for part in found):
            side = round(attended.shape[1] ** 0.5)
            columns.append(attended.unflatten(1, (side, side)).mean(1).flatten(1))
        errors[path] = ridge_error(*columns, **goal)
    return errors


@torch.no_grad()
def worth_of_words(branch: Branch) -> dict[str, object]:
    """What naming an attribute takes off the diffusion loss of the frozen UNet, on test clips."""
    foundation, ids = branch.ready.foundation, list(branch.test_ids)
    contexts = {
        name: foundation.encode_text(captions(branch, ids, named=named))
        for name, named in {
            "class": (),
            "pitch": (0,),
            "intensity": (1,),
            "hiss": (2,),
            "onset": (3,),
        }.items()
    }
    scheduler = foundation.noise_scheduler
    weight_T = timestep_weights(LossWeighting.HIGH_NOISE, alphas_cumprod_T=scheduler.alphas_cumprod)
    mean, _ = branch.data.features.latent_moments(ids, [False] * len(ids))
    latents = mean * branch.data.scaling_factor
    timesteps = list(range(50, 1000, 100))
    gains: dict[str, list[float]] = {name: [] for name in contexts if name != "class"}
    for timestep in timesteps:
        steps = torch.full((len(ids),), timestep)
        loss = dict.fromkeys(contexts, 0.0)
        for draw in range(2):
            noise = normal(latents.shape, seed=draw, name=("onset study", "words", timestep))
            noisy = scheduler.add_noise(latents, noise, steps)
            for name, context in contexts.items():
                predicted = branch.ready.model.predict(noisy, steps, context)
                loss[name] += float((predicted - noise).square().mean()) / 2
        for name, values in gains.items():
            values.append(round(loss["class"] - loss[name], 6))
    weights = weight_T[timesteps].numpy()
    return {
        "timesteps": timesteps,
        "gain_by_timestep": gains,
        "weighted_gain": {n: float((weights * np.array(g)).mean()) for n, g in gains.items()},
    }


def captions(branch: Branch, ids: list[str], *, named: tuple[int, ...]) -> list[str]:
    """The class and the levels of some attributes, in the words that the UNet was trained on."""
    samples = branch.planned.prepared.split.samples
    classes = np.array([CLASSES.index(samples[i].class_name) for i in ids])
    codes = SEEN.codes(classes, branch.truth(ids))
    for attribute in set(range(4)) - set(named):
        codes[:, 1 + attribute] = UNNAMED
    return [SEEN.text(code) for code in codes]
