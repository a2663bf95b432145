"""The one training loop of the build: AdamW, warm-up and cosine decay, averaged weights."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Recipe:
    """How a part is trained."""

    steps: int
    """Optimiser steps."""
    batch_size: int
    """Samples a step."""
    learning_rate: float
    """Peak, after the warm-up."""
    warmup_share: float = 0.05
    """Share of the steps over which the rate rises."""
    final_share: float = 0.02
    """The rate's last value, as a share of the peak."""
    horizon: float = 1.0
    """Length of the decay over the length of training; above 1 it ends while the rate is high."""
    weight_decay: float = 0.01
    """AdamW's, on matrices only."""
    ema_decay: float = 0.998
    """Of the averaged weights, reached as (1 + step) / (10 + step) allows."""
    gradient_norm: float = 1.0
    """Gradients are scaled down to this norm."""


class Average:
    """Exponential moving average of a set of parameters."""

    def __init__(self, parameters: Iterable[nn.Parameter], *, decay: float) -> None:
        self._parameters = list(parameters)
        self._shadow = [p.detach().clone() for p in self._parameters]
        self._decay = decay
        self._updates = 0

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the present values."""
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        self._updates += 1
        for shadow, parameter in zip(self._shadow, self._parameters, strict=True):
            shadow.lerp_(parameter, 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The parameters hold the average inside the block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for shadow, parameter in zip(self._shadow, self._parameters, strict=True):
            kept = parameter.detach().clone()
            parameter.copy_(shadow)
            shadow.copy_(kept)


def rate_share(step: int, recipe: Recipe) -> float:
    """Share of the peak learning rate at `step`."""
    horizon = round(recipe.steps * recipe.horizon)
    warmup = max(1, round(horizon * recipe.warmup_share))
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, horizon - warmup)
    return recipe.final_share + (1 - recipe.final_share) * 0.5 * (1 + math.cos(math.pi * progress))


def train(
    modules: list[nn.Module],
    loss_at: Callable[[int], Tensor],
    recipe: Recipe,
    *,
    name: str,
    snapshot: Callable[[int], None] | None = None,
    num_snapshots: int = 6,
) -> float:
    """Train `modules` in place on `loss_at(step)`; they end with their averaged weights.

    `snapshot(step)` is called between, with the average in place. Returns seconds taken.
    Raises: FloatingPointError when the loss is not finite.
    """
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.98))
    average = Average(parameters, decay=recipe.ema_decay)
    started, last_s, smooth = time.monotonic(), time.monotonic(), math.nan
    every = max(1, recipe.steps // (num_snapshots + 1))
    for step in range(recipe.steps):
        for module in modules:
            module.train()
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * rate_share(step, recipe)
        loss = loss_at(step)
        if not torch.isfinite(loss):
            raise FloatingPointError(f"{name}: loss is {loss.item()} at step {step}")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, recipe.gradient_norm)
        optimizer.step()
        average.update()
        smooth = loss.item() if math.isnan(smooth) else 0.98 * smooth + 0.02 * loss.item()
        if time.monotonic() - last_s > 15 or step + 1 == recipe.steps:
            last_s = time.monotonic()
            print(
                f"{name}: {step + 1}/{recipe.steps} loss {smooth:.4f} {last_s - started:.0f} s",
                flush=True,
            )
        if snapshot and recipe.steps >= 100 and (step + 1) % every == 0 and step + 1 < recipe.steps:
            for module in modules:
                module.eval()
            with average.in_place():
                snapshot(step + 1)
    average._swap()
    for module in modules:
        module.eval()
    return time.monotonic() - started
