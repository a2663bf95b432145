"""Sounds to hear, pictures to see."""

from collections.abc import Mapping, Sequence

from core.data.items import DataKind, Sample
from core.data.splits.split import Part
from harness.metrics.arms import Arm
from harness.records.score_kind import Score
from harness.report.comparison.choice import Advantage, Chosen, advantage, chosen_clips
from harness.report.comparison.clips import ClipMedia
from harness.report.comparison.facts import Facts, ReportRun
from harness.report.comparison.sections.common import arm_word
from harness.report.page.content import (
    Blank,
    Column,
    Paragraph,
    Picture,
    Section,
    Sheet,
    SheetClip,
    SheetRow,
)
from harness.report.page.media import MediaStore
from harness.run.partners import partners_of
from harness.wording.data_kinds import group_word
from harness.wording.numbers import count, label, metric_label, number, plain

_TITLE = "Contact sheet"
_LABELS = {"random": "Chosen by hash", "best": "Best", "worst": "Worst"}


def contact_sheet(facts: Facts, *, clips: Sequence[SheetClip]) -> Section:
    """Each clip's sounds next to the real pictures and what each branch generated for it.

    clips: from `sheet_clips`.
    """
    reason = _why_none(facts)
    if reason:
        return Section("sheet", _TITLE, [Blank(reason)])
    gain = advantage(facts)
    text = (
        f"{count(len(clips), facts.clip_word)}, images of seed {facts.seeds[0]}, the same noise in "
        f"all arms of a clip. {_chosen_how(facts, clips)}"
    )
    if gain is not None:
        text += f" Best and worst: {plain(gain.words)}"
        text += f", mean over {count(len(facts.seeds), 'seed')}." if len(facts.seeds) > 1 else "."
    if facts.clip_metric is not None:
        text += (
            f" The number under an image is its {metric_label(facts.clip_metric.name)}, always "
            "against the card's own sound."
        )
    return Section(
        "sheet",
        _TITLE,
        [Paragraph(text), Sheet(tuple(clips))],
        lead="Play both sounds, then look: does an image follow the sound that it was given? The "
        f"mismatched sound is another clip's {_whose(facts)}; its real picture is next to it. "
        "What the caption alone and silence give is what the branch adds sound to.",
    )


def sheet_clips(facts: Facts, *, media: MediaStore) -> tuple[SheetClip, ...]:
    """The cards; none where there is nothing to show."""
    split = facts.split
    if split is None or _why_none(facts):
        return ()
    part = Part.TEST if facts.score is Score.TEST else Part.VAL
    ids = split.parts[part]
    partners = partners_of(split, ids=ids)
    gain = advantage(facts)
    found = ClipMedia(facts, split, media)
    return tuple(
        _clip(found, chosen, id=f"clip-{index}", partners=partners, gain=gain)
        for index, chosen in enumerate(
            chosen_clips([split.samples[i] for i in ids], gain=gain), start=1
        )
    )


def _why_none(facts: Facts) -> str:
    if facts.split is None:
        return f"The clips cannot be shown: {facts.split_reason}."
    if not facts.finished:
        return "No run finished, so there are no images."
    if facts.score is Score.LOSS:
        return "No images were requested, only the validation loss."
    return ""


def _chosen_how(facts: Facts, clips: Sequence[SheetClip]) -> str:
    num = sum(clip.tone == "random" for clip in clips)
    assert facts.split is not None
    num_classes, word = len(facts.split.classes), group_word(facts.split.kind)
    if num >= num_classes:
        return f"One clip per {word.one} is chosen by hash of its id."
    return f"One clip each of {num} of the {num_classes} {word.many}, all chosen by hash of the id."


def _whose(facts: Facts) -> str:
    if facts.split is None or facts.split.kind is DataKind.CLASSES:
        return "of the same class"
    return "with the nearest caption"


def _clip(
    found: ClipMedia,
    chosen: Chosen,
    *,
    id: str,
    partners: Mapping[str, str],
    gain: Advantage | None,
) -> SheetClip:
    facts, sample = found.facts, chosen.sample
    seed = facts.seeds[0]
    runs = [run for branch in facts.branches for run in facts.of_branch(branch) if run.seed == seed]
    text = _LABELS[chosen.why]
    if gain is not None and chosen.advantage is not None and chosen.why != "random":
        text += f" {number(chosen.advantage, signed=True)}"
    return SheetClip(
        id=id,
        title=label(sample.class_name),
        sample_id=plain(sample.id),
        caption=plain(sample.caption),
        label=text,
        tone=chosen.why,
        columns=(
            Column("real"),
            *(Column(plain(run.branch), branch=facts.index(run.branch)) for run in runs),
        ),
        rows=tuple(_rows(found, sample, runs=runs, partner=partners.get(sample.id))),
    )


def _rows(
    found: ClipMedia, sample: Sample, *, runs: Sequence[ReportRun], partner: str | None
) -> list[SheetRow]:
    """The arms that some run has, and the matching sound always."""

    def images(arm: Arm) -> list[Picture]:
        return [found.image(run, sample, arm=arm) for run in runs]

    rows = [
        SheetRow(
            arm_word(Arm.AUDIO),
            found.heard(sample),
            (found.real(sample), *images(Arm.AUDIO)),
        )
    ]
    if partner is not None and _has_arm(runs, Arm.SHUFFLED):
        other = found.split.samples[partner]
        rows.append(
            SheetRow(
                arm_word(Arm.SHUFFLED),
                found.heard(other),
                # Its score would be against its own sound, those beside it are against the card's.
                (found.real(other, has_score=False), *images(Arm.SHUFFLED)),
                note=plain(other.id),
            )
        )
    for arm in (Arm.TEXT_ONLY, Arm.SILENCE):
        if _has_arm(runs, arm):
            rows.append(SheetRow(arm_word(arm), None, (None, *images(arm))))
    return rows


def _has_arm(runs: Sequence[ReportRun], arm: Arm) -> bool:
    return any(arm in run.record.arms for run in runs)
