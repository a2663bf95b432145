"""Sounds, real pictures and images of clips, read once each and put into the media store."""

from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from core.data.items import Sample
from core.data.media.errors import MediaError
from core.data.splits.split import Split
from core.errors import DataError
from harness.metrics.arms import REAL, Arm
from harness.records.folders import RunFolder
from harness.records.image_names import file_stem
from harness.report.comparison.facts import Facts, ReportRun
from harness.report.comparison.sections.common import arm_word
from harness.report.contact_sheet import mel_db, mel_shade
from harness.report.page.content import Heard, Picture
from harness.report.page.media import MediaStore, picture, sound
from harness.wording.numbers import label, number, plain

_SPECTROGRAM = (48, 240)  # bands, frames
_SPECTROGRAM_RGB = (58, 124, 196)


@dataclass
class ClipMedia:
    """What there is to hear and to see of the clips of one report."""

    facts: Facts
    """What the report is about; it has a finished run."""
    split: Split
    """Where the clips lie now."""
    media: MediaStore
    """Where sounds and pictures go."""
    _heard: dict[tuple[str, bool], Heard] = field(default_factory=dict)
    _real: dict[str, Picture] = field(default_factory=dict)

    def heard(self, sample: Sample, *, has_spectrogram: bool = True) -> Heard:
        """A clip's sound, decoded once however often it is played."""
        key = (sample.id, has_spectrogram)
        if key not in self._heard:
            self._heard[key] = self._sound(sample, has_spectrogram=has_spectrogram)
        return self._heard[key]

    def _sound(self, sample: Sample, *, has_spectrogram: bool) -> Heard:
        words = f"Sound of {label(sample.class_name)}, clip {plain(sample.id)}"
        window_s = self.facts.finished[0].record.identity.shared.window_s
        try:
            content, samples = sound(self.split.root / sample.audio_path, window_s=window_s)
        except (MediaError, OSError) as error:
            return Heard(words, None, reason=f"the sound cannot be read: {plain(error)}")
        if not has_spectrogram:
            return Heard(words, self.media.add(content, suffix="mp3"))
        bands, frames = _SPECTROGRAM
        mel = mel_db(samples, sample_rate_hz=48_000, num_bands=bands, num_frames=frames)
        shade = mel_shade(mel, loudest_db=float(mel.max()))
        # One colour over transparency: it stands on light and on dark.
        rgba = np.empty((bands, frames, 4), dtype=np.uint8)
        rgba[..., :3] = _SPECTROGRAM_RGB
        rgba[..., 3] = (shade * 255).round().astype(np.uint8)
        buffer = BytesIO()
        Image.fromarray(rgba).save(buffer, format="PNG", optimize=True)
        return Heard(
            words,
            self.media.add(content, suffix="mp3"),
            self.media.add(buffer.getvalue(), suffix="png"),
        )

    def real(self, sample: Sample, *, has_score: bool = True) -> Picture:
        """The clip's own picture, with the score that the metric gives it."""
        about = self.facts.clip_metric
        score = None
        if about is not None and has_score:
            for run in self.facts.finished:
                score = run.scores(about.name, arm=REAL).get(sample.id)
                if score is not None:
                    break
        return shown_picture(
            self.split.root / sample.image_path,
            title="real",
            alt=f"Real picture of {label(sample.class_name)}, clip {plain(sample.id)}",
            note=number(score),
            media=self.media,
        )

    def training(self, sample: Sample, *, similarity: float) -> Picture:
        """A training picture, read once however many images it is nearest to."""
        if sample.id not in self._real:
            self._real[sample.id] = shown_picture(
                self.split.root / sample.image_path,
                title="nearest training picture",
                alt=f"Training picture {plain(sample.id)}",
                note="",
                media=self.media,
            )
        return replace(self._real[sample.id], note=number(similarity))

    def image(self, run: ReportRun, sample: Sample, *, arm: str) -> Picture:
        """What a run generated for the clip in an arm, or why there is nothing."""
        about = self.facts.clip_metric
        if arm == Arm.AUDIO:
            arm = run.headline_arm  # a control that takes no sound is shown by its caption's image
        alt = (
            f"{plain(run.branch)} with {arm_word(arm)}, {label(sample.class_name)}, clip "
            f"{plain(sample.id)}"
        )
        index = self.facts.index(run.branch)
        if arm not in run.record.arms:
            return Picture(
                plain(run.branch), alt, None, branch=index, reason="not sampled: takes no sound"
            )
        score = None if about is None else run.scores(about.name, arm=arm).get(sample.id)
        return shown_picture(
            RunFolder(run.folder).images / arm / f"{file_stem(sample.id)}-0.png",
            title=run.branch,
            alt=alt,
            note=number(score),
            media=self.media,
            href=run.anchor,
            branch=index,
        )


def shown_picture(
    path: Path,
    *,
    title: str,
    alt: str,
    note: str,
    media: MediaStore,
    href: str | None = None,
    branch: int | None = None,
) -> Picture:
    """An image file in the media store, or why there is none."""
    try:
        content, suffix = picture(path)
    except (DataError, OSError):
        return Picture(
            title=plain(title),
            alt=alt,
            media=None,
            note=note,
            href=href,
            branch=branch,
            reason="no image on disk",
        )
    return Picture(
        title=plain(title),
        alt=alt,
        media=media.add(content, suffix=suffix),
        note=note,
        href=href,
        branch=branch,
    )
