"""Embeddings of the `laion-clap` package itself [N, 512], L2-normalised.

The same network as transformers' `ClapModel`, which the harness uses; this is for checkpoints or
results that have to come from the package.
"""

import sys
from pathlib import Path

import exchange
import laion_clap
import numpy as np
import torch

SAMPLE_RATE_HZ = 48_000
WINDOW_S = 10.0


def load_weights(model: torch.nn.Module, path: Path) -> None:
    """Load a LAION checkpoint, all of it or nothing; ends the export where it does not fit."""
    try:
        model.load_state_dict(read_weights(path))
    except Exception as error:
        network = "the network named by its file name"
        sys.exit(
            f"{path} is not a LAION CLAP checkpoint for {network} ({type(error).__name__}: {error})"
        )


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The state dict, without running the file's pickle; the package's own loader would."""
    scalar = np.core.multiarray.scalar  # type: ignore[attr-defined]  # where numpy 1.26 has it
    harmless = [scalar, np.dtype, type(np.dtype(np.float64))]
    with torch.serialization.safe_globals(harmless):
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    state = checkpoint.get("state_dict", checkpoint)
    state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    state.pop("text_branch.embeddings.position_ids", None)  # a buffer of older transformers
    return state


def main() -> None:
    """Run in the environment of requirements-laion-clap.txt."""
    given = exchange.arguments(__doc__)
    is_music = "music" in given.weights.name or "speech" in given.weights.name
    module = laion_clap.CLAP_Module(
        enable_fusion="fusion" in given.weights.name,
        amodel="HTSAT-base" if is_music else "HTSAT-tiny",
        device="cuda:0" if given.cuda else "cpu",
    )
    load_weights(module.model, given.weights)

    def encode(windows_BT: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return module.get_audio_embedding_from_data(x=windows_BT, use_tensor=False)

    exchange.export(
        given,
        encode=encode,
        encoder="laion-clap",
        package="laion-clap 1.1.7",
        sample_rate_hz=SAMPLE_RATE_HZ,
        window_s=WINDOW_S,
        is_normalised=True,
    )


if __name__ == "__main__":
    main()
