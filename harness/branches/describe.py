"""What each variant is and trains, from shapes alone: no weights are read.

To count, a variant is built, which takes torch and seconds. What was counted is kept in the user's
cache folder for as long as the code, the profile and the libraries stay.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from core.code import code_hash, package_folder
from core.errors import HarnessError, NoSpaceError
from core.files import json_sha256, user_cache, write_atomic
from core.foundation.architecture import Architecture
from harness.branches.described import DescribedVariant
from harness.branches.registry import Registration, registrations
from harness.settings.architecture import architecture_of
from harness.settings.load import load_profile
from harness.settings.profile import Profile

_LIBRARIES = ("torch", "diffusers", "transformers", "peft")
"""Whose classes decide how many parameters a layer has."""


@dataclass(frozen=True)
class _Kept:
    """What was counted of one variant in one profile."""

    key: str
    """Of everything that the counts follow from."""
    described: DescribedVariant


_KeptByProfile = TypeAdapter(dict[str, dict[str, _Kept]])


def describe_variants(profile_name: str) -> list[DescribedVariant]:
    """Every registered variant at the profile's size; a broken one says so and harms no other.

    Raises:
        UsageError: no such profile.
    """
    profile = load_profile(profile_name)
    architecture = architecture_of(profile)
    shared = _shared_key(profile, architecture)
    kept = _read_kept().get(profile_name, {})
    described, counted = [], {}
    for registration in registrations().values():
        name = registration.name
        try:
            key = _key(registration, shared=shared)
            if name not in kept or kept[name].key != key:
                counted[name] = _Kept(key, _count(registration, profile, architecture))
            described.append((counted.get(name) or kept[name]).described)
        except HarnessError as error:
            described.append(DescribedVariant(name, error=str(error)))
        except ModuleNotFoundError as error:
            reason = f"needs {error.name} to be counted; pip install 'branch-harness[train]'"
            if error.name not in _LIBRARIES:
                reason = f"cannot be built: {type(error).__name__}: {error}"
            described.append(DescribedVariant(name, error=reason))
        except Exception as error:  # a plug-in's constructor may raise anything
            reason = f"cannot be built: {type(error).__name__}: {error}"
            described.append(DescribedVariant(name, error=reason))
    if counted:
        _keep(profile_name, counted)
    return described


def kept_counts_path() -> Path:
    """The file that keeps what was counted, by profile and variant."""
    return user_cache() / "described_variants.json"


def _count(
    registration: Registration, profile: Profile, architecture: Architecture
) -> DescribedVariant:
    from harness.branches.meta_model import count_parameters  # torch

    return count_parameters(registration, profile=profile, architecture=architecture)


def _shared_key(profile: Profile, architecture: Architecture) -> dict[str, Any]:
    return {
        "profile": profile.model_dump(mode="json"),
        "architecture": asdict(architecture),
        "core": code_hash([package_folder("core")], leave_out=[package_folder("core.embedded")]),
        "branches": code_hash([Path(__file__).parent]),
        "libraries": {name: _version(name) for name in _LIBRARIES},
    }


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def _key(registration: Registration, *, shared: Mapping[str, Any]) -> str:
    return json_sha256({**shared, "variant": code_hash([registration.sources])})


def _read_kept() -> dict[str, dict[str, _Kept]]:
    try:
        return _KeptByProfile.validate_json(kept_counts_path().read_bytes())
    except (OSError, ValidationError):  # none yet, or of an older version: counted again
        return {}


def _keep(profile_name: str, counted: Mapping[str, _Kept]) -> None:
    # Two processes may write at once and lose an entry: it is only counted again. Where nothing
    # can be written, counting each time is all that is lost.
    kept = _read_kept()
    kept[profile_name] = {**kept.get(profile_name, {}), **counted}
    with suppress(OSError, NoSpaceError):
        write_atomic(kept_counts_path(), content=_KeptByProfile.dump_json(kept, indent=1))
