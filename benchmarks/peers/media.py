"""The sounds, pictures and feature sets that both sides read."""

from pathlib import Path

import numpy as np
import soundfile
import torch
from PIL import Image

from benchmarks.peers.drawn import generator, picture, sound, weight
from harness.metrics.scorers.inception import InceptionV3

NUM_SOUNDS, NUM_PICTURES = 4, 6
SETS = (600, 64)
"""Rows and width of the two sets of features that distances are measured on."""


def write_media(folder: Path) -> None:
    """Write everything below `folder`: `sounds`, `pictures`, `sets.npz`, Inception's weights."""
    sounds, pictures = folder / "sounds", folder / "pictures"
    for made in (sounds, pictures, folder / "inception"):
        made.mkdir(parents=True, exist_ok=True)
    for group, rate_hz, duration_s in (("48k", 48_000, 10), ("44k", 44_100, 7), ("44s", 44_100, 3)):
        for k in range(NUM_SOUNDS):
            name = f"{group}-{k}"
            wave = sound(name, duration_s=duration_s, rate_hz=rate_hz)
            soundfile.write(sounds / f"{name}.wav", wave, rate_hz, subtype="FLOAT")
    for k in range(NUM_SOUNDS):
        pair = [sound(f"44k-{k}", duration_s=7, rate_hz=44_100) * gain for gain in (1.0, 0.5)]
        path = sounds / f"stereo-{k}.wav"
        soundfile.write(path, np.stack(pair, axis=1), 44_100, subtype="FLOAT")
    for size in (64, 256, 299, 512):
        for k in range(NUM_PICTURES):
            name = f"{size}-{k}"
            Image.fromarray(picture(name, size=size)).save(pictures / f"{name}.png")
    x, y = (generator(name).standard_normal(SETS) for name in ("x", "y"))
    np.savez(folder / "sets.npz", x=x @ np.diag(np.linspace(0.3, 1.6, SETS[1])), y=y + 0.1)
    state = {
        name: torch.from_numpy(weight(name, tuple(tensor.shape)))
        for name, tensor in InceptionV3().state_dict().items()
        if tensor.is_floating_point()
    }
    counters = {name: t for name, t in InceptionV3().state_dict().items() if name not in state}
    torch.save({**state, **counters}, folder / "inception" / "pt_inception-2015-12-05-6726825d.pth")
