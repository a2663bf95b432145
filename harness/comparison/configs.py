"""The files of branches' settings that a comparison is given, each for the branch it names."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import UsageError
from harness.settings.branch_config import load_run_config


@dataclass(frozen=True)
class Configs:
    """Which branch takes its settings from which file."""

    paths: dict[str, Path] = field(default_factory=dict)
    """By branch."""
    profile: str | None = None
    """The profile that they are for; None: none of them says."""


def configs_by_branch(
    paths: Sequence[Path], *, variants: Sequence[str], profile: str | None
) -> Configs:
    """The files by the branch each names.

    variants: the branches compared. profile: the one asked for, or None.

    Raises:
        UsageError: a file that cannot be read, that is of no branch compared or of one that has
            another file, or that is for another profile than the rest.
    """
    found: dict[str, Path] = {}
    profiles: dict[str, Path] = {}
    for path in paths:
        config = load_run_config(path)
        config.require_agreement(path, variant=None, profile=profile)
        if config.variant not in variants:
            raise UsageError(
                f"config {path} is for {config.variant}, which is not in --variants "
                f"{','.join(variants)}; add it there, or drop the file"
            )
        if config.variant in found:
            raise UsageError(
                f"{found[config.variant]} and {path} are both for {config.variant}; a comparison "
                "allows one configuration per branch"
            )
        found[config.variant] = path
        if config.profile is not None:
            profiles.setdefault(config.profile, path)
    if len(profiles) > 1:
        shown = ", ".join(f"{path} for {name}" for name, path in profiles.items())
        raise UsageError(
            f"the configs are for different profiles ({shown}); branches are compared with equal "
            "settings, so tune them on one profile"
        )
    return Configs(found, next(iter(profiles), None))
