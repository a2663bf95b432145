"""Embeddings of Microsoft's CLAP 2023 [N, 1024], as its wrapper gives them: not normalised.

The wrapper cuts a clip longer than 7 s at a random place; here it is the first 7 s.
"""

import sys
from pathlib import Path

import exchange
import numpy as np
import torch
from msclap import CLAP


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The state dict of a checkpoint of the package."""
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True)["model"])
    except Exception as error:
        sys.exit(f"{path} is not an msclap checkpoint ({type(error).__name__}: {error})")


def require_whole(encoder: torch.nn.Module, *, weights: dict[str, torch.Tensor]) -> None:
    """Refuse weights that leave a part of the encoder at random; the wrapper lets them pass."""
    names = [f"audio_encoder.{name}" for name, _ in encoder.named_parameters()]
    missing = [name for name in names if name not in weights]
    if missing:
        sys.exit(f"the checkpoint lacks {len(missing)} of {len(names)} weights ({missing[0]}, ...)")


def main() -> None:
    """Run in the environment of requirements-msclap.txt."""
    given = exchange.arguments(__doc__)
    weights = read_weights(given.weights)
    model = CLAP(model_fp=str(given.weights), version="2023", use_cuda=given.cuda)
    require_whole(model.clap.audio_encoder, weights=weights)

    def encode(windows_BT: np.ndarray) -> np.ndarray:
        waveforms_B1T = torch.from_numpy(windows_BT)[:, None]
        if given.cuda:
            waveforms_B1T = waveforms_B1T.cuda()
        # The public call takes files alone and would draw the window; the version is pinned.
        return model._get_audio_embeddings(waveforms_B1T).float().cpu().numpy()

    exchange.export(
        given,
        encode=encode,
        encoder="msclap-2023",
        package="msclap 1.3.4",
        sample_rate_hz=model.args.sampling_rate,
        window_s=float(model.args.duration),
        is_normalised=False,
    )


if __name__ == "__main__":
    main()
