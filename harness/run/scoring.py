"""What the scorers make of a run's images."""

from collections.abc import Sequence
from pathlib import Path

from core.data.items import DataKind
from core.data.media.decode_audio import decode_audio
from core.data.splits.split import Part, is_absent, verify_sample
from core.files import write_atomic
from harness.metrics.arms import GeneratedImage, ScoredClip
from harness.metrics.batch import FloorPicture
from harness.metrics.feature_cache import FeatureCache
from harness.metrics.score import RunScores, score_images
from harness.metrics.scorers.scorers import Scorers
from harness.records.folders import ResultsFolder
from harness.records.score_kind import Score
from harness.run.findings import Findings
from harness.run.plan import PlannedRun
from harness.wording.display import Display


def score_run(
    images: Sequence[GeneratedImage],
    *,
    planned: PlannedRun,
    part: Part,
    device: str,
    findings: Findings,
    display: Display,
) -> RunScores:
    """Score a run's images against the clips of a part; the tables lie in the run's folder then.

    Raises:
        DataError: a real picture or sound is no longer what the split was locked on.
    """
    profile, split = planned.profile, planned.prepared.split
    is_test = planned.request.score is Score.TEST
    named = profile.scorers.model_dump()
    if split.kind is not DataKind.LABELS:
        named["source_judge"] = None  # it answers for clips of several labels alone
    scorers = Scorers.load(
        **named,
        conditioners=[profile.foundation.stable_diffusion, profile.foundation.clap],
        device=device,
    )
    window_s = profile.data.window_s
    code = planned.identity.code

    def verify_media(ids: Sequence[str]) -> None:
        """Refuse media that changed since the split was locked, while the run trained."""
        for sample_id in ids:
            verify_sample(split.samples[sample_id], root=split.root)

    cache = FeatureCache(
        ResultsFolder(planned.request.results).scorer_features,
        context={
            "split": split.hash,
            "core": code["core"],
            "metrics": code["metrics"],
            "window_s": window_s,
            "device": device,
        },
        verify=verify_media,
    )

    def pictures(ids: Sequence[str]) -> dict[str, Path]:
        return {i: split.root / split.samples[i].image_path for i in ids}

    scores = score_images(
        images,
        clips=[
            ScoredClip(
                sample_id=sample_id,
                class_name=split.samples[sample_id].class_name,
                caption=split.samples[sample_id].caption,
                image=split.root / split.samples[sample_id].image_path,
                labels=split.samples[sample_id].labels,
                attributes=split.samples[sample_id].attributes,
            )
            for sample_id in split.parts[part]
        ],
        scorers=scorers,
        waveform_of=lambda sample_id: decode_audio(
            split.root / split.samples[sample_id].audio_path, window_s=window_s
        ),
        # Where validation clips are scored, their halves are the floor.
        floor_images=(
            {
                sample_id: FloorPicture(split.samples[sample_id].class_name, path)
                for sample_id, path in pictures(split.val).items()
            }
            if is_test
            else None
        ),
        training_images=(
            pictures(split.train) if is_test and not is_absent(split, Part.TRAIN) else None
        ),
        split_hash=split.hash,
        kind=split.kind,
        cache=cache,
        progress=lambda done, total: display.phase("scoring", done, total),
    )
    findings.notices += cache.notices
    for name, content in scores.files().items():
        write_atomic(planned.folder / name, content=content)
    return scores
