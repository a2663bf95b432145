"""`harness scorers check`: the scorers of a profile, judged on the real clips of a split."""

from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from core.code import code_hash, package_folder
from core.data.media.decode_audio import decode_audio
from core.data.splits.split import Part, verify
from harness.data.source import prepare_split
from harness.metrics.arms import ScoredClip
from harness.metrics.certificates.certify import certify
from harness.metrics.scorers.scorers import Scorers
from harness.records.certificate import Certificate
from harness.records.folders import ResultsFolder
from harness.run.device import require_fit_device
from harness.settings.load import load_profile
from harness.wording.display import Display


@dataclass(frozen=True)
class CheckRequest:
    """What `harness scorers check` was asked for."""

    _: KW_ONLY
    profile: str = "tiny"
    overrides: tuple[str, ...] = ()
    data: str | None = None
    results: Path = Path("results")
    device: str | None = None


@dataclass(frozen=True)
class Checked:
    """The certificates, and where they lie."""

    certificates: tuple[Certificate, ...]
    """One for each scorer and what it was asked."""
    folder: Path
    """Folder of the files."""


def check_scorers(request: CheckRequest, *, display: Display) -> Checked:
    """Judge every scorer on the test clips and store what was found; it replaces what was there.

    Raises:
        HarnessError: unusable data, missing weights, a scorer that conditions.
    """
    profile = load_profile(request.profile, overrides=request.overrides)
    device = require_fit_device(profile, asked=request.device)
    prepared = prepare_split(
        request.data, settings=profile.data, results=request.results, progress=display.phase
    )
    split, window_s = prepared.split, profile.data.window_s
    verify(split, parts=(Part.TEST,))
    scorers = Scorers.load(
        **profile.scorers.model_dump(),
        conditioners=[profile.foundation.stable_diffusion, profile.foundation.clap],
        device=device,
    )
    samples = [split.samples[sample_id] for sample_id in split.test]
    found = certify(
        [
            ScoredClip(
                sample_id=sample.id,
                class_name=sample.class_name,
                caption=sample.caption,
                image=split.root / sample.image_path,
                attributes=sample.attributes,
                labels=sample.labels,
            )
            for sample in samples
        ],
        scorers=scorers,
        waveform_of=lambda sample_id: decode_audio(
            split.root / split.samples[sample_id].audio_path, window_s=window_s
        ),
        split_hash=split.hash,
        part=Part.TEST.value,
        window_s=window_s,
        code=_code(),
        progress=lambda done, total: display.phase("judging the scorers", done, total),
    )
    verify(split, parts=(Part.TEST,))  # features of media that changed meanwhile certify nothing
    folder = ResultsFolder(request.results).certificates
    for one in found:
        one.save(folder)
    return Checked(tuple(found), folder)


def _code() -> str:
    """Hash of what decodes, scores and judges."""
    core, harness = package_folder("core"), package_folder("harness")
    sources = [core, harness / "metrics", harness / "statistics" / "telling.py"]
    return code_hash(sources, leave_out=[core / "embedded"])
