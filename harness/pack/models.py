"""Which cached features the packed commands can read: those of their own models and windows."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import MissingWeightsError
from core.features.folders import CacheFolder
from harness.metrics.feature_cache import About
from harness.pack.command import Command
from harness.settings.load import load_profile
from harness.settings.profile import Profile


@dataclass(frozen=True)
class PackedModels:
    """The models that packed commands encode and score with."""

    encoders: frozenset[tuple[str, str]]
    """Revision of a frozen model, and the number type it computes in."""
    windows_s: frozenset[float]
    """Seconds of sound that are encoded at once."""
    scorers: frozenset[str]
    """Fingerprints."""

    def reads(self, folder: CacheFolder) -> bool:
        """Whether a command asks for features of this folder; the log-mel is of no model."""
        encoder, window_s = folder.settings.get("encoder"), folder.settings.get("window_s")
        is_ours = encoder is None or (encoder, folder.settings.get("dtype")) in self.encoders
        return is_ours and (window_s is None or window_s in self.windows_s)

    def scores_with(self, about: About | None, *, split_hash: str) -> bool:
        """Whether a command reads a file of scorer features that says this of itself."""
        return about is not None and about.split == split_hash and about.scorers <= self.scorers


def packed_models(commands: Sequence[Command]) -> PackedModels | None:
    """The models of the commands' profiles; None where they, or torch, are not on this machine.

    Raises:
        UsageError: a profile or a setting that cannot be read.
    """
    encoders, scorers = set[tuple[str, str]](), set[str]()
    windows_s = set[float]()
    try:
        from harness.run.models import model_hashes

        for command in commands:
            profile = load_profile(command.profile, overrides=command.overrides)
            encoders |= _encoders(profile)
            scorers |= set(model_hashes(profile).values())
            windows_s.add(float(profile.data.window_s))
    except (ImportError, MissingWeightsError):
        return None
    return PackedModels(frozenset(encoders), frozenset(windows_s), frozenset(scorers))


def _encoders(profile: Profile) -> set[tuple[str, str]]:
    from core.foundation.separation import open_foundation

    foundation = open_foundation(
        stable_diffusion=profile.foundation.stable_diffusion,
        clap=profile.foundation.clap,
        separator=profile.foundation.separator,
        device="cpu",
        dtype=profile.foundation.dtype,
    )
    # Hashes of files: nothing is loaded.
    revisions = {foundation.revision(part) for part in ("vae", "text_encoder", "clap")}
    return {(revision, str(foundation.dtype)) for revision in revisions}
