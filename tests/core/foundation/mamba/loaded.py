"""An encoder's folder, read as a branch reads it."""

from pathlib import Path

from core.foundation.mamba.encoder import MambaAudioEncoder
from core.foundation.mamba.storage import load_weights, read_config


def load_encoder(folder: Path) -> MambaAudioEncoder:
    """The encoder of a folder, on the CPU, in eval mode."""
    encoder = MambaAudioEncoder(read_config(folder))
    load_weights(encoder, folder=folder)
    return encoder.eval()
