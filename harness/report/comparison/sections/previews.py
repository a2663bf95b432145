"""What runs generated for a few validation clips while they trained."""

from pathlib import Path

from core.errors import DataError
from harness.records.folders import RunFolder
from harness.report.comparison.facts import Facts, ReportRun
from harness.report.page.content import (
    Column,
    Paragraph,
    Part,
    Picture,
    Sheet,
    SheetClip,
    SheetRow,
)
from harness.report.page.media import MediaStore, picture
from harness.wording.numbers import count, plain

_MOST_STEPS = 6
_MOST_RUNS = 6


def preview_sheet(facts: Facts, *, media: MediaStore) -> list[Part]:
    """A card for each run that has previews: clips from top to bottom, steps from left to right.

    Of many runs those of the first seed; nothing where none has any.
    """
    found = [(run, steps) for run in facts.runs if (steps := _steps(run))]
    if not found:
        return []
    shown = found
    if len(found) > _MOST_RUNS:
        seed = found[0][0].record.identity.seed
        shown = [(run, steps) for run, steps in found if run.record.identity.seed == seed]
    cards = [_card(run, steps, media=media) for run, steps in shown[:_MOST_RUNS]]
    left_out = len(found) - len(cards)
    text = (
        "Previews: what a run generated for the same few validation clips while it trained, from "
        "the same noise at each step."
    )
    if left_out:
        text += f" {count(left_out, 'run')} more {'has' if left_out == 1 else 'have'} some in "
        text += f"{'its folder' if left_out == 1 else 'their folders'}."
    return [Paragraph(text), Sheet(tuple(cards))]


def _steps(run: ReportRun) -> list[Path]:
    """The folders of its previews, by step; of many, some from the first to the last."""
    folder = RunFolder(run.folder).previews
    found = sorted(path for path in folder.glob("step-*") if path.is_dir())
    if len(found) <= _MOST_STEPS:
        return found
    places = [round(k * (len(found) - 1) / (_MOST_STEPS - 1)) for k in range(_MOST_STEPS)]
    return [found[place] for place in places]


def _card(run: ReportRun, steps: list[Path], *, media: MediaStore) -> SheetClip:
    clips = sorted({path.name for step in steps for path in step.glob("*.png")})
    return SheetClip(
        id=f"preview-{run.run_id}",
        title=run.run_id,
        sample_id="",
        caption="",
        label="while it trained",
        tone="random",
        columns=tuple(Column(f"step {int(step.name[5:]):,}") for step in steps),
        rows=tuple(
            SheetRow(
                title=plain(name.removesuffix(".png")),
                heard=None,
                pictures=tuple(_picture(step / name, run, media=media) for step in steps),
            )
            for name in clips
        ),
    )


def _picture(path: Path, run: ReportRun, *, media: MediaStore) -> Picture:
    step = f"step {int(path.parent.name[5:]):,}"
    try:
        content, suffix = picture(path)
    except (DataError, OSError) as error:
        return Picture(step, alt="", media=None, reason=plain(error))
    return Picture(
        step,
        alt=f"{run.run_id} at {step}, clip {plain(path.stem)}",
        media=media.add(content, suffix=suffix),
    )
