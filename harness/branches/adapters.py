"""What each UNet adapter trains at a profile's size, and whether it starts as the identity.

Counting builds every adapter, which takes torch and seconds; what was found is kept in the user's
cache folder for as long as the code, the profile and the libraries stay.
"""

from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from core.choices import UnetAdapterKind
from core.code import code_hash, package_folder
from core.conditioning.tuner_kinds import OURS, REFUSED
from core.errors import NoSpaceError
from core.files import json_sha256, user_cache, write_atomic
from harness.branches.described import DescribedAdapter
from harness.settings.architecture import architecture_of
from harness.settings.load import load_profile

_LIBRARIES = ("torch", "diffusers", "peft")


@dataclass(frozen=True)
class _Kept:
    key: str
    """Of everything that the rows follow from."""
    rows: tuple[DescribedAdapter, ...]


_KeptByProfile = TypeAdapter(dict[str, _Kept])


def describe_adapters(profile_name: str) -> tuple[DescribedAdapter, ...]:
    """Every kind: ours, then peft's that work, then those that are refused.

    Raises:
        UsageError: no such profile.
    """
    profile = load_profile(profile_name)
    architecture = architecture_of(profile)
    key = json_sha256(
        {
            "lora": profile.lora.model_dump(mode="json"),
            "ssf": profile.ssf.model_dump(mode="json"),
            "unet": architecture.unet_config,
            "core": code_hash([package_folder("core.conditioning"), Path(__file__).parent]),
            "libraries": {name: _version(name) for name in _LIBRARIES},
        }
    )
    kept = _read_kept()
    if profile_name in kept and kept[profile_name].key == key:
        return kept[profile_name].rows
    from harness.branches.adapter_counts import counted  # torch

    rows = [
        DescribedAdapter(kind, is_ours=False, refused=REFUSED[kind])
        if kind in REFUSED
        else counted(kind, profile=profile, architecture=architecture)
        for kind in UnetAdapterKind
        if kind is not UnetAdapterKind.NONE
    ]
    found = tuple(sorted(rows, key=lambda row: (row.refused is not None, row.kind not in OURS)))
    # As in `harness.branches.describe`: where nothing can be written, it is counted again.
    with suppress(OSError, NoSpaceError):
        content = _KeptByProfile.dump_json({**kept, profile_name: _Kept(key, found)}, indent=1)
        write_atomic(kept_adapters_path(), content=content)
    return found


def kept_adapters_path() -> Path:
    """The file that keeps what was counted, by profile."""
    return user_cache() / "described_adapters.json"


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def _read_kept() -> dict[str, _Kept]:
    try:
        return _KeptByProfile.validate_json(kept_adapters_path().read_bytes())
    except (OSError, ValidationError):  # none yet, or of an older version: counted again
        return {}
