"""Is an image a copy of a training picture?"""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.records.folders import RunFolder
from harness.records.image_names import file_stem
from harness.records.parts import NearestOfArm, NearestSummary
from harness.report.comparison.clips import shown_picture
from harness.report.comparison.facts import Facts, ReportRun
from harness.report.comparison.sections.common import (
    arm_word,
    branch_anchor,
    branch_cell,
    mean,
)
from harness.report.page.content import (
    Blank,
    Cell,
    Column,
    Gallery,
    Part,
    Picture,
    Section,
    Table,
)
from harness.report.page.media import MediaStore
from harness.wording.numbers import count, label, number, percent, plain, short_hash

_TITLE = "Nearest training image"
_MOST_LISTED = 10
_MOST_SHOWN = 4
_MOST_ROWS = 6
"""Of the table by branch and arm, above which a reader opens it."""


def nearest_training(facts: Facts, *, media: MediaStore) -> Section:
    """Similarity of each image to the training picture nearest to it, beside real ones."""
    found = _summaries(facts.finished)
    if not found:
        reason = "No run recorded how similar its images are to the training pictures."
        return Section("memorisation", _TITLE, [Blank(reason)])
    parts: list[Part] = [_table(facts, found)]
    closest = _closest([run for run, _ in found])
    if closest:
        parts += _pictures(facts, closest[:_MOST_SHOWN], media=media)
        parts.append(_closest_table(facts, closest))
    _, first = found[0]
    return Section(
        "memorisation",
        _TITLE,
        parts,
        lead=f"Cosine on the features of {plain(first.extractor)} "
        f"({short_hash(first.extractor_hash)}), against "
        f"{first.num_training} training pictures. Real pictures of the "
        f"{facts.clip_word}s show how similar pictures of one class are without any copying.",
    )


def _summaries(runs: Sequence[ReportRun]) -> list[tuple[ReportRun, NearestSummary]]:
    """The runs that recorded it, with what they recorded."""
    summaries = ((run, run.record.evaluation.nearest_training) for run in runs)
    return [(run, summary) for run, summary in summaries if summary is not None]


def _table(facts: Facts, found: Sequence[tuple[ReportRun, NearestSummary]]) -> Table:
    rows = []
    arms = list(dict.fromkeys(arm for _, summary in found for arm in summary.arms))
    for branch in facts.branches:
        for arm in arms:
            scores = [
                score
                for run, summary in found
                if run.branch == branch and (score := summary.arms.get(arm)) is not None
            ]
            if not scores:
                continue
            anchor = branch_anchor(facts, branch)
            rows.append(
                (
                    branch_cell(facts, branch),
                    Cell(arm_word(arm)),
                    Cell(number(_mean([score.mean for score in scores])), href=anchor),
                    Cell(number(_largest(scores)), href=anchor),
                    Cell(percent(_mean([score.share_above_real_p95 for score in scores]))),
                    Cell(str(min(score.n for score in scores))),
                )
            )
    return Table(
        "Similarity to the nearest training picture, mean over runs",
        (
            Column("branch"),
            Column("arm"),
            Column("mean", is_number=True),
            Column("largest", is_number=True),
            Column("above 95 % of real", is_number=True),
            Column("n", is_number=True),
        ),
        tuple(rows),
        is_folded=len(rows) > _MOST_ROWS,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    return mean([value for value in values if value is not None])


def _largest(scores: Sequence[NearestOfArm]) -> float | None:
    return max((score.max for score in scores if score.max is not None), default=None)


@dataclass(frozen=True)
class _Near:
    """One image and the training picture most like it."""

    similarity: float
    run: ReportRun
    sample_id: str
    class_name: str
    nearest_id: str
    arm: str
    draw: int


def _closest(runs: list[ReportRun]) -> list[_Near]:
    """The images most like a training picture, of the arm that the runs are scored by."""
    found = []
    for run in runs:
        table = run.nearest
        if table is None:
            continue
        own = table[table["arm"] == run.headline_arm].dropna(subset="similarity")
        found += [
            _Near(
                similarity=float(row.similarity),
                run=run,
                sample_id=str(row.sample_id),
                class_name=str(row.class_name),
                nearest_id=str(row.nearest_id),
                arm=run.headline_arm,
                draw=int(row.draw),
            )
            for row in own.nlargest(_MOST_LISTED, "similarity").itertuples()
        ]
    found.sort(key=lambda near: (-near.similarity, near.run.run_id, near.sample_id))
    return found[:_MOST_LISTED]


def _pictures(facts: Facts, closest: list[_Near], *, media: MediaStore) -> list[Part]:
    """Each image beside its nearest training picture."""
    if facts.split is None:
        return [Blank(f"The training pictures cannot be shown: {facts.split_reason}.")]
    pairs = []
    for near in closest:
        training = facts.split.samples.get(near.nearest_id)
        stem = f"{file_stem(near.sample_id)}-{near.draw}.png"
        one = shown_picture(
            RunFolder(near.run.folder).images / near.arm / stem,
            title=near.run.branch,
            alt=f"{plain(near.run.branch)}, clip {plain(near.sample_id)}",
            note=number(near.similarity),
            media=media,
            href=near.run.anchor,
            branch=facts.index(near.run.branch),
        )
        if training is None:
            other = Picture("training", "Training picture", None, reason="not in the split")
        else:
            other = shown_picture(
                facts.split.root / training.image_path,
                title="training",
                alt=f"Training picture {plain(near.nearest_id)}",
                note="",
                media=media,
            )
        pairs.append((one, other))
    return [Gallery("Nearest of all: image, then training picture", tuple(pairs))]


def _closest_table(facts: Facts, closest: list[_Near]) -> Table:
    return Table(
        f"The {count(len(closest), 'image')} nearest to a training picture",
        (
            Column("clip"),
            Column("class"),
            Column("nearest training picture"),
            Column("similarity", is_number=True),
            Column("run"),
        ),
        tuple(
            (
                Cell(plain(near.sample_id)),
                Cell(label(near.class_name)),
                Cell(plain(near.nearest_id)),
                Cell(number(near.similarity), href=near.run.anchor),
                Cell(
                    f"{plain(near.run.branch)}, seed {near.run.seed}",
                    href=near.run.anchor,
                    branch=facts.index(near.run.branch),
                ),
            )
            for near in closest
        ),
        is_folded=True,
    )
