"""Sounds to hear, pictures to see."""

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from core.data.manifest import Sample
from core.data.media.errors import MediaError
from core.data.splits.split import Part, Split
from core.errors import DataError
from harness.metrics.arms import REAL, Arm
from harness.records.folders import RunFolder
from harness.records.image_names import file_stem
from harness.records.score_kind import Score
from harness.report.comparison.choice import Advantage, Chosen, advantage, chosen_clips
from harness.report.comparison.facts import Facts, ReportRun
from harness.report.comparison.sections.common import arm_word
from harness.report.contact_sheet import mel_db, mel_shade
from harness.report.page.content import Blank, Paragraph, Picture, Section, Sheet, SheetClip
from harness.report.page.media import AUDIO_TYPE, MediaStore, picture, sound
from harness.wording.numbers import count, label, metric_label, number, plain

_TITLE = "Contact sheet"
_ARMS = (Arm.AUDIO, Arm.SHUFFLED)
_SPECTROGRAM = (48, 240)  # bands, frames
_SPECTROGRAM_RGB = (58, 124, 196)
_LABELS = {"random": "Chosen by hash", "best": "Best", "worst": "Worst"}


def contact_sheet(facts: Facts, *, media: MediaStore) -> Section:
    """Each clip's sound next to the real picture and what each branch generated for it."""
    if facts.split is None:
        return Section(
            "sheet", _TITLE, [Blank(f"The clips cannot be shown: {facts.split_reason}.")]
        )
    if not facts.finished:
        return Section("sheet", _TITLE, [Blank("No run finished, so there are no images.")])
    if facts.score is Score.LOSS:
        return Section(
            "sheet", _TITLE, [Blank("No images were requested, only the validation loss.")]
        )
    split = facts.split
    seed = facts.seeds[0]
    gain = advantage(facts)
    part = Part.TEST if facts.score is Score.TEST else Part.VAL
    chosen = chosen_clips([split.samples[i] for i in split.parts[part]], gain=gain)
    clips = tuple(
        _clip(facts, clip, split=split, gain=gain, seed=seed, media=media) for clip in chosen
    )
    text = (
        f"{count(len(clips), facts.clip_word)}, images of seed {seed}, one noise per clip. One "
        "clip per class is chosen by hash of its id."
    )
    if gain is not None:
        text += f" Best and worst: {plain(gain.words)}"
        text += f", mean over {count(len(facts.seeds), 'seed')}." if len(facts.seeds) > 1 else "."
    if facts.clip_metric is not None:
        text += f" The number under an image is its {metric_label(facts.clip_metric.name)}."
    return Section(
        "sheet",
        _TITLE,
        [Paragraph(text), Sheet(clips)],
        lead="Press play, then look: does the picture show what you hear? Below the images for the "
        "matching sound are those for the mismatched sound, another clip's of the same class, "
        "from the same noise.",
    )


def _clip(
    facts: Facts,
    chosen: Chosen,
    *,
    split: Split,
    gain: Advantage | None,
    seed: int,
    media: MediaStore,
) -> SheetClip:
    sample = chosen.sample
    runs = [run for branch in facts.branches for run in facts.of_branch(branch) if run.seed == seed]
    audio, spectrogram, audio_reason = _sound(facts, sample, split=split, media=media)
    text = _LABELS[chosen.why]
    if gain is not None and chosen.advantage is not None and chosen.why != "random":
        text += f" {number(chosen.advantage, signed=True)}"
    return SheetClip(
        title=label(sample.class_name),
        sample_id=plain(sample.id),
        caption=plain(sample.caption),
        labels=(text,),
        tone=chosen.why,
        audio=audio,
        audio_type=AUDIO_TYPE,
        audio_reason=audio_reason,
        spectrogram=spectrogram,
        real=_real(facts, sample, split=split, media=media),
        rows=tuple(
            (
                arm_word(arm),
                tuple(_image(facts, run, sample, arm=arm, media=media) for run in runs),
            )
            for arm in _ARMS
        ),
    )


def _sound(
    facts: Facts, sample: Sample, *, split: Split, media: MediaStore
) -> tuple[str | None, str | None, str]:
    """Keys of the sound and its spectrogram, or why there are none."""
    window_s = float(facts.finished[0].record.identity.settings["data"]["window_s"])
    try:
        content, samples = sound(split.root / sample.audio_path, window_s=window_s)
    except (MediaError, OSError) as error:
        return None, None, f"the sound cannot be read: {plain(error)}"
    bands, frames = _SPECTROGRAM
    mel = mel_db(samples, sample_rate_hz=48_000, num_bands=bands, num_frames=frames)
    shade = mel_shade(mel, loudest_db=float(mel.max()))
    # One colour over transparency: it stands on light and on dark.
    rgba = np.empty((bands, frames, 4), dtype=np.uint8)
    rgba[..., :3] = _SPECTROGRAM_RGB
    rgba[..., 3] = (shade * 255).round().astype(np.uint8)
    buffer = BytesIO()
    Image.fromarray(rgba).save(buffer, format="PNG", optimize=True)
    return media.add(content, suffix="mp3"), media.add(buffer.getvalue(), suffix="png"), ""


def _real(facts: Facts, sample: Sample, *, split: Split, media: MediaStore) -> Picture:
    about = facts.clip_metric
    score = None
    if about is not None:
        for run in facts.finished:
            score = run.scores(about.name, arm=REAL).get(sample.id)
            if score is not None:
                break
    return shown_picture(
        split.root / sample.image_path,
        title="real",
        alt=f"Real picture of {label(sample.class_name)}, clip {plain(sample.id)}",
        note=number(score),
        media=media,
    )


def _image(facts: Facts, run: ReportRun, sample: Sample, *, arm: str, media: MediaStore) -> Picture:
    about = facts.clip_metric
    if arm == Arm.AUDIO:
        arm = run.headline_arm  # a control that hears nothing is shown by its caption\'s image
    score = None if about is None else run.scores(about.name, arm=arm).get(sample.id)
    return shown_picture(
        RunFolder(run.folder).images / arm / f"{file_stem(sample.id)}-0.png",
        title=run.branch,
        alt=f"{plain(run.branch)} with {arm_word(arm)}, {label(sample.class_name)}, clip "
        f"{plain(sample.id)}",
        note=number(score),
        media=media,
        href=run.anchor,
        branch=facts.index(run.branch),
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
        return Picture(plain(title), alt, None, note, href, branch, "no image on disk")
    return Picture(plain(title), alt, media.add(content, suffix=suffix), note, href, branch)
