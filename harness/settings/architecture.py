"""The configs of a profile's frozen models, read without their weights."""

from core.foundation.architecture import Architecture, read_architecture
from harness.settings.profile import Profile


def architecture_of(profile: Profile) -> Architecture:
    """The configs of the models that a profile names.

    Raises: as `read_architecture`.
    """
    foundation = profile.foundation
    return read_architecture(
        foundation.stable_diffusion, foundation.clap, separator=foundation.separator
    )
