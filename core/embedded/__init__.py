"""The embedded default: small trained models of the real classes, and the command that builds them.

`weights/` holds one folder a model, each in its own library's format, so whatever loads the
full-size models loads these. `python -m core.embedded.recipes.build --out DIR` makes them anew.
"""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
"""The shipped folders: stable_diffusion, clap, clip, image_judge, audio_judge, source_judge,
mamba_encoder."""
