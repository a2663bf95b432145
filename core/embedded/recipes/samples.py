"""Rendered training sets, kept on disk while a build lasts.

Namespaces keep the sets apart: what trains a judge never trains a conditioner, and the corpus
that users train on is in neither.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.embedded.corpus.classes import CLASSES
from core.embedded.corpus.pairs import pair_attributes, pair_clip, pair_image
from core.embedded.recipes.plan import Plan


@dataclass(frozen=True)
class Samples:
    """N samples, classes taking turns."""

    classes: np.ndarray
    """int64 [N], index into `CLASSES`."""
    attributes: np.ndarray
    """float32 [N, A] in [0, 1], in the order of `ATTRIBUTES`."""
    values: np.ndarray
    """The rendered thing itself: [N, ...]."""

    def __len__(self) -> int:
        return len(self.classes)


def image_samples(plan: Plan, namespace: str, count: int) -> Samples:
    """Pictures as uint8 [N, 64, 64, 3]."""
    return _samples(plan, namespace, count, kind="image", render=pair_image)


def sound_samples(
    plan: Plan, namespace: str, count: int, *, kind: str, listen: Callable[[np.ndarray], np.ndarray]
) -> Samples:
    """Clips as `listen` hears them; `kind` names `listen` in the cache."""

    def render(cls: str, *, seed: int, namespace: str, index: int) -> np.ndarray:
        return listen(pair_clip(cls, seed=seed, namespace=namespace, index=index))

    return _samples(plan, namespace, count, kind=kind, render=render)


def _samples(
    plan: Plan, namespace: str, count: int, *, kind: str, render: Callable[..., np.ndarray]
) -> Samples:
    names = [(CLASSES[k % len(CLASSES)], k // len(CLASSES)) for k in range(count)]
    seed, scope = plan.seed, f"foundation/{namespace}"
    path = plan.cache / f"{kind}-{namespace}-{plan.seed}-{count}.npy"
    if not path.is_file():
        values = np.stack(
            [render(cls, seed=seed, namespace=scope, index=index) for cls, index in names]
        )
        write_whole(path, values)
    drawn = [
        pair_attributes(cls, seed=seed, namespace=scope, index=index).as_array()
        for cls, index in names
    ]
    return Samples(
        classes=np.arange(count, dtype=np.int64) % len(CLASSES),
        attributes=np.stack(drawn),
        values=np.load(path),
    )


def write_whole(path: Path, values: np.ndarray) -> None:
    """Save an array whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{id(values)}.part.npy")
    np.save(part, values)
    part.replace(path)
