"""An audit of folders, locks and metadata files."""

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from functools import partial
from pathlib import Path

from core.audit.audit import Audit, audit_listings
from core.audit.listing import Target, read_target
from core.audit.zero_shot import ZeroShot
from core.data.items import DataKind
from core.data.labels import load_label_map
from core.data.splits.official import read_official_list
from harness.records.folders import ResultsFolder
from harness.settings.load import load_profile
from harness.wording.display import Display


@dataclass(frozen=True)
class AuditRequest:
    """What `harness data audit` was asked for."""

    targets: tuple[Path, ...]
    _: KW_ONLY
    official: Path | None = None
    label_map: str | None = None
    """With an official list the map of VGGSound is used unless another is named."""
    profile: str | None = None
    """Whose CLAP listens; None leaves the sounds alone."""
    overrides: tuple[str, ...] = ()
    results: Path = Path("results")


def run_audit(request: AuditRequest, *, display: Display) -> Audit:
    """Every check that the targets allow.

    Raises: DataError for a target that is none; UsageError; MissingWeightsError without CLAP.
    """
    targets = [read_target(path) for path in request.targets]
    official = None if request.official is None else read_official_list(request.official)
    map_name = request.label_map or ("vggsound" if official is not None else None)
    missing = []
    heard: list[ZeroShot] = []
    if request.profile is not None:
        heard = list(_listen(targets, request, display=display))
        nameless = [t.path.name for t in targets if t.kind is not DataKind.CLASSES]
        if nameless:
            missing.append(
                f"how the clips of {', '.join(nameless)} sound: they have no single class that "
                "CLAP could doubt"
            )
        silent = [target.path.name for target in targets if target.root is None]
        if silent:
            missing.append(f"how the clips of {', '.join(silent)} sound: they name no media")
    else:
        missing.append("how the clips sound: CLAP was not used (--no-clap)")
    return audit_listings(
        [listing for target in targets for listing in target.listings],
        official=official,
        labels=None if map_name is None else load_label_map(map_name),
        zero_shot=heard,
        not_checked=missing,
    )


def _listen(
    targets: list[Target], request: AuditRequest, *, display: Display
) -> Iterator[ZeroShot]:
    targets = [t for t in targets if t.root is not None and t.kind is DataKind.CLASSES]
    if not targets or request.profile is None:
        return
    import torch

    from core.audit.listening import listen
    from core.foundation.foundation import Foundation

    profile = load_profile(request.profile, overrides=request.overrides)
    foundation = Foundation(
        stable_diffusion=profile.foundation.stable_diffusion,
        clap=profile.foundation.clap,
        device="cuda" if torch.cuda.is_available() else "cpu",
        dtype=profile.foundation.dtype,
    )
    for target in targets:
        if target.root is None:
            continue
        yield listen(
            target.samples,
            name=str(target.path),
            root=target.root,
            foundation=foundation,
            window_s=profile.data.window_s,
            cache_dir=ResultsFolder(request.results).features,
            progress=partial(display.phase, f"listening to {target.path.name}"),
        )
