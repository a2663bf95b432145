"""Section 13: is an image a copy of a training picture?"""

from typing import Any

from harness.report.content import Blank, Cell, Column, Part, Section, Table
from harness.report.facts import Facts, ReportRun
from harness.report.sections.common import (
    arm_word,
    branch_anchor,
    branch_cell,
    mean,
)
from harness.report.text import number, plain, short_hash

_TITLE = "Nearest training image"
_MOST_LISTED = 10


def nearest_training(facts: Facts) -> Section:
    """Similarity of each image to the training picture nearest to it, beside real test pictures."""
    found = [run for run in facts.finished if _summary(run)]
    if not found:
        reason = "No run recorded how near its images come to the training pictures."
        return Section("memorisation", _TITLE, [Blank(reason)])
    parts: list[Part] = [_table(facts, found)]
    closest = _closest(facts, found)
    if closest is not None:
        parts.append(closest)
    first = _summary(found[0])
    return Section(
        "memorisation",
        _TITLE,
        parts,
        lead=f"Cosine on the features of {plain(first.get('extractor', 'the scorer'))} "
        f"({short_hash(first.get('extractor_hash', ''))}), against "
        f"{first.get('num_training', '')} training pictures. Real test pictures say how near "
        "pictures of one class lie without any copying.",
    )


def _summary(run: ReportRun) -> dict[str, Any]:
    return dict(getattr(run.record, "evaluation", {}).get("nearest_training") or {})


def _table(facts: Facts, runs: list[ReportRun]) -> Table:
    rows = []
    arms = list(dict.fromkeys(arm for run in runs for arm in _summary(run).get("arms", {})))
    for branch in facts.branches:
        for arm in arms:
            scores = [
                score
                for run in runs
                if run.branch == branch and (score := _summary(run)["arms"].get(arm)) is not None
            ]
            if not scores:
                continue
            anchor = branch_anchor(facts, branch)
            rows.append(
                (
                    branch_cell(facts, branch),
                    Cell(arm_word(arm)),
                    Cell(number(_mean(scores, "mean")), href=anchor),
                    Cell(number(_largest(scores)), href=anchor),
                    Cell(_percent(_mean(scores, "share_above_real_p95"))),
                    Cell(str(min(int(score["n"]) for score in scores))),
                )
            )
    return Table(
        "Similarity to the nearest training picture, mean over runs",
        (
            Column("branch"),
            Column("heard"),
            Column("mean", is_number=True),
            Column("largest", is_number=True),
            Column("above 95 % of real", is_number=True),
            Column("n", is_number=True),
        ),
        tuple(rows),
    )


def _mean(scores: list[dict[str, Any]], key: str) -> float | None:
    return mean([float(s[key]) for s in scores if s.get(key) is not None])


def _largest(scores: list[dict[str, Any]]) -> float | None:
    return max((float(s["max"]) for s in scores if s.get("max") is not None), default=None)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _closest(facts: Facts, runs: list[ReportRun]) -> Table | None:
    """The images most like a training picture, of the own sound."""
    found: list[tuple[float, ReportRun, str, str, str]] = []
    for run in runs:
        table = run.nearest
        if table is None:
            continue
        own = table[table["arm"] == "audio"].dropna(subset="similarity")
        found += [
            (
                float(row.similarity),
                run,
                str(row.sample_id),
                str(row.class_name),
                str(row.nearest_id),
            )
            for row in own.nlargest(_MOST_LISTED, "similarity").itertuples()
        ]
    if not found:
        return None
    found.sort(key=lambda row: (-row[0], row[1].run_id, row[2]))
    return Table(
        f"The {min(_MOST_LISTED, len(found))} images of the own sound nearest to a training "
        "picture",
        (
            Column("clip"),
            Column("class"),
            Column("nearest training picture"),
            Column("similarity", is_number=True),
            Column("run"),
        ),
        tuple(
            (
                Cell(plain(clip)),
                Cell(plain(class_name).replace("_", " ")),
                Cell(plain(nearest)),
                Cell(number(similarity), href=run.anchor),
                Cell(run.run_id, href=run.anchor, branch=facts.index(run.branch)),
            )
            for similarity, run, clip, class_name, nearest in found[:_MOST_LISTED]
        ),
        is_folded=True,
    )
