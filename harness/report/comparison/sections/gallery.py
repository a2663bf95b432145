"""Every scored clip of the runs, to choose from by class and by score."""

from collections.abc import Mapping, Sequence

import pandas as pd

from core.data.items import Sample
from core.data.splits.split import Part
from harness.records.score_kind import Score
from harness.report.comparison.clips import ClipMedia
from harness.report.comparison.facts import Facts, ReportRun
from harness.report.contact_sheet import hash_of
from harness.report.page.content import (
    Blank,
    Filter,
    Section,
    Tile,
    Wall,
)
from harness.report.page.media import MediaStore
from harness.wording.numbers import count, label, metric_label, plain

_TITLE = "Gallery"
_NUM_EXTREME = 12
_ID = "wall"


def gallery(facts: Facts, *, media: MediaStore) -> Section:
    """All clips with every run's image, and the training picture nearest to it.

    Linear in clips times runs: each sound and picture is read once.
    """
    split = facts.split
    if split is None or not facts.finished or facts.score is Score.LOSS:
        reason = facts.split_reason if split is None else "there are no images"
        return Section("gallery", _TITLE, [Blank(f"No clip can be shown: {reason}.")])
    part = Part.TEST if facts.score is Score.TEST else Part.VAL
    scores = _scores(facts)
    samples = sorted(
        (split.samples[i] for i in split.parts[part]),
        key=lambda s: (-scores.get(s.id, float("-inf")), hash_of(s.id)),
    )
    found = ClipMedia(facts, split, media)
    nearest = {run.run_id: _nearest(run) for run in facts.finished}
    filters, keys = _filters(samples, scores=scores)
    tiles = tuple(_tile(found, s, nearest=nearest, keys=keys[s.id]) for s in samples)
    about = facts.clip_metric
    order = "" if about is None else f", the best {metric_label(about.name)} first"
    return Section(
        "gallery",
        _TITLE,
        [
            Wall(
                id=_ID,
                legend=f"Which of {count(len(tiles), facts.clip_word)} to show",
                filters=filters,
                tiles=tiles,
            )
        ],
        lead=f"Every {facts.clip_word}{order}: its sound, its real picture, each run's image with "
        "the matching sound, and the training picture nearest to that image with their similarity.",
        is_folded=True,
    )


def _scores(facts: Facts) -> dict[str, float]:
    """By clip, its mean score over the runs, the better the larger."""
    about = facts.clip_metric
    if about is None:
        return {}
    sign = 1.0 if about.higher_is_better else -1.0
    columns = [run.scores(about.name, arm=run.headline_arm) for run in facts.finished]
    means = pd.concat(columns, axis=1).mean(axis=1).dropna()
    return {str(name): sign * float(value) for name, value in means.items()}


def _filters(
    samples: Sequence[Sample], *, scores: Mapping[str, float]
) -> tuple[tuple[Filter, ...], dict[str, tuple[str, ...]]]:
    """(the filters, by clip the keys of those that show it)."""
    classes = sorted({sample.class_name for sample in samples})
    key_of = {name: f"c{index}" for index, name in enumerate(classes)}
    scored = [sample.id for sample in samples if sample.id in scores]
    num = min(_NUM_EXTREME, len(scored) // 2)
    best, worst = set(scored[:num]), set(scored[len(scored) - num :])
    filters = [Filter("best", f"best {num}"), Filter("worst", f"worst {num}")] if num else []
    filters += [Filter(key_of[name], label(name)) for name in classes]
    keys = {
        sample.id: (
            key_of[sample.class_name],
            *(["best"] if sample.id in best else []),
            *(["worst"] if sample.id in worst else []),
        )
        for sample in samples
    }
    return tuple(filters), keys


def _nearest(run: ReportRun) -> dict[str, tuple[str, float]]:
    """By clip, the training picture nearest to the first image, and how similar it is."""
    table = run.nearest
    if table is None:
        return {}
    own = table[(table["arm"] == run.headline_arm) & (table["draw"] == 0)]
    own = own.dropna(subset="similarity")
    return {
        str(clip): (str(training), float(similarity))
        for clip, training, similarity in zip(
            own["sample_id"], own["nearest_id"], own["similarity"], strict=True
        )
    }


def _tile(
    found: ClipMedia,
    sample: Sample,
    *,
    nearest: Mapping[str, Mapping[str, tuple[str, float]]],
    keys: tuple[str, ...],
) -> Tile:
    pairs = []
    for run in found.facts.finished:
        training = None
        near = nearest[run.run_id].get(sample.id)
        if near is not None and near[0] in found.split.samples:
            training = found.training(found.split.samples[near[0]], similarity=near[1])
        pairs.append((found.image(run, sample, arm="audio"), training))
    return Tile(
        title=label(sample.class_name),
        sample_id=plain(sample.id),
        caption=plain(sample.caption),
        heard=found.heard(sample, has_spectrogram=False),
        real=found.real(sample),
        pairs=tuple(pairs),
        keys=keys,
    )
