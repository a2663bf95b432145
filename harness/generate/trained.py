"""A finished run's branch, loaded again: the frozen models it was trained on, and its weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from core.conditioning.attached import AttachedVariant
from core.errors import DataError, MismatchError, UsageError
from core.files import file_sha256
from core.foundation.foundation import Foundation
from core.foundation.layout import LAYOUTS
from core.foundation.separation import open_foundation
from core.foundation.separators import find_separator
from core.foundation.sources import resolve_source
from harness.branches.registry import find_variant
from harness.branches.unet_adapter import adapter_of
from harness.records.folders import RunFolder
from harness.records.record import RunRecord, Status, load_record
from harness.run.code import code_of
from harness.settings.load import parse_settings
from harness.settings.profile import Profile


@dataclass(frozen=True, kw_only=True)
class TrainedBranch:
    """A branch on the frozen UNet, ready to sample."""

    record: RunRecord
    profile: Profile
    foundation: Foundation
    model: AttachedVariant
    weights_sha256: str
    """Of its weights file."""
    notices: tuple[str, ...]
    """What may make its images differ from those of its run."""


def profile_of(record: RunRecord) -> Profile:
    """The settings that a run was made with.

    Raises:
        UsageError: the record has a setting that is not known any more.
    """
    settings = {
        k: dict(v) if isinstance(v, dict) else v for k, v in record.identity.settings.items()
    }
    settings.get("budget", {}).pop("schedule", None)
    return parse_settings(Profile, settings, what=f"setting in the record of {record.run_id}:")


@contextmanager
def loaded_branch(folder: Path, *, device: str) -> Iterator[TrainedBranch]:
    """The branch of the finished run in `folder`; the UNet is given back at the end.

    Raises:
        UsageError: the run is not finished, left no weights, or its variant is gone.
        MismatchError: its weights file, its frozen models or its variant's code are not what it
            was trained with.
        MissingWeightsError: a frozen model is not on this machine.
        DataError: the weights file is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    record = load_record(folder)
    if record.status is not Status.FINISHED:
        raise UsageError(f"{record.run_id} is not finished ({record.status.value}); run it again")
    weights = RunFolder(folder).weights
    if not weights.is_file():
        raise UsageError(f"{weights} does not exist; only runs scored on the test clips keep it")
    weights_sha256 = _checked_hash(record, weights)
    profile = profile_of(record)
    _require_same_models(record, profile)
    _require_same_separator(record, profile)
    variant_class = find_variant(record.identity.variant).load()
    config = parse_settings(
        variant_class.Config,
        record.identity.variant_config,
        what=f"setting of variant {record.identity.variant} in {record.run_id}:",
    )
    foundation = _foundation(
        profile.foundation.stable_diffusion,
        profile.foundation.clap,
        profile.foundation.separator,
        device=device,
        dtype=profile.foundation.dtype,
    )
    log_mel = profile.data.log_mel
    variant = variant_class(
        config,
        shapes=foundation.shapes(
            log_mel=(log_mel.num_mels, log_mel.num_frames),
            num_classes=len(record.split.counts),
        ),
    ).to(device)
    model = AttachedVariant(
        variant, unet=foundation.unet, attach_adapter=adapter_of(variant, profile=profile)
    )
    try:
        try:
            model.load_state_dict(load_file(weights, device=device))
        except SafetensorError as error:
            raise DataError(f"{weights} is damaged: {error}") from error
        except (ValueError, RuntimeError) as error:
            raise MismatchError(
                f"{weights} does not fit variant '{record.identity.variant}' as it is now, so its "
                f"code has changed since: {str(error).splitlines()[0]}"
            ) from error
        model.adapter.enable()
        model.set_training(False)
        yield TrainedBranch(
            record=record,
            profile=profile,
            foundation=foundation,
            model=model,
            weights_sha256=weights_sha256,
            notices=_notices(record),
        )
    finally:
        model.detach()


def _checked_hash(record: RunRecord, weights: Path) -> str:
    """Of the weights file, which must be the one that the run wrote; older records do not say."""
    digest = file_sha256(weights)
    expected = record.files.get(weights.name, digest)
    if digest != expected:
        raise MismatchError(
            f"{weights} is not the file that {record.run_id} wrote: its SHA-256 is {digest[:12]}, "
            f"the record's {expected[:12]}; put the file back, or train again: {record.command}"
        )
    return digest


def _require_same_models(record: RunRecord, profile: Profile) -> None:
    for role in ("stable_diffusion", "clap"):
        name = getattr(profile.foundation, role)
        trained = record.identity.models.get(role)
        here = resolve_source(name).fingerprint(LAYOUTS[role])
        if trained is not None and trained != here:
            raise MismatchError(
                f"{record.run_id} was trained on {role} {trained[:12]}, but {name} is {here[:12]} "
                "on this machine, so its images would not be those of the branch; put the files "
                "back that it was trained on"
            )


def _require_same_separator(record: RunRecord, profile: Profile) -> None:
    name = profile.foundation.separator
    if name is None:
        return
    trained, here = record.identity.models.get("separator", ""), find_separator(name).fingerprint
    if trained != here:
        raise MismatchError(
            f"{record.run_id} was trained behind separator '{name}' {trained[:12]}, but "
            f"{here[:12]} is installed; install the version it was trained behind"
        )


def _notices(record: RunRecord) -> tuple[str, ...]:
    now = code_of(record.identity.variant)
    changed = [part for part in ("variant", "core") if record.identity.code.get(part) != now[part]]
    if not changed:
        return ()
    return (
        f"{record.run_id}: the code of {' and '.join(changed)} has changed since it was trained; "
        "its images may differ from those in its run",
    )


@lru_cache(maxsize=1)
def _foundation(
    stable_diffusion: str, clap: str, separator: str | None, *, device: str, dtype: str
) -> Foundation:
    """One at a time: runs of one comparison share it."""
    return open_foundation(
        stable_diffusion=stable_diffusion,
        clap=clap,
        separator=separator,
        device=device,
        dtype=dtype,
    )
