"""The frozen models that a profile names: their hashes, and the commits they are of."""

from pathlib import Path

from core.errors import MissingWeightsError
from core.features.exported import ExportedEmbeddings
from core.foundation.layout import LAYOUTS
from core.foundation.separators import find_separator
from core.foundation.sources import Source, resolve_source
from harness.settings.profile import Profile


def model_hashes(profile: Profile) -> dict[str, str]:
    """By role, the hash of the files that are read of each model, of exported embeddings and of
    the separator.

    Raises:
        MissingWeightsError: models that are not there, all in one sentence.
        DataError: exported embeddings that cannot be read.
        UsageError: a separator that is not installed.
    """
    hashes: dict[str, str] = {}
    missing: list[MissingWeightsError] = []
    for role, source in _model_sources(profile).items():
        try:
            hashes[role] = source.fingerprint(LAYOUTS[role])
        except MissingWeightsError as error:
            missing.append(error)
    if missing:  # all at once: each may be hours of fetching away
        raise MissingWeightsError("; ".join(map(str, missing)))
    for feature, folder in profile.foundation.exported.items():
        hashes[f"exported.{feature.value}"] = ExportedEmbeddings.load(Path(folder)).revision
    if profile.foundation.separator is not None:
        hashes["separator"] = find_separator(profile.foundation.separator).fingerprint
    return hashes


def model_commits(profile: Profile) -> dict[str, str]:
    """By role, the commit that is read of each model that a hub id names.

    Raises:
        MissingWeightsError: one of them is not in the local cache.
    """
    commits = {role: source.commit for role, source in _model_sources(profile).items()}
    return {role: commit for role, commit in commits.items() if commit is not None}


def _model_sources(profile: Profile) -> dict[str, Source]:
    names: dict[str, str | None] = {
        "stable_diffusion": profile.foundation.stable_diffusion,
        "clap": profile.foundation.clap,
        **profile.scorers.model_dump(),
    }
    return {role: resolve_source(name) for role, name in names.items() if name is not None}
