"""Certificates of all scorers on the real clips of a split."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.metrics.arms import ScoredClip
from harness.metrics.batch import WaveformOf
from harness.metrics.certificates.alterations import SoundAlteration
from harness.metrics.certificates.judged import Judged
from harness.metrics.certificates.question import Question, View
from harness.metrics.per_clip import TIE_TOLERANCE
from harness.metrics.scorers.scorers import Scorers
from harness.records.certificate import Altered, Certificate, Task, Told
from harness.records.record import now
from harness.statistics.telling import Among, telling

Progress = Callable[[int, int], None]


def certify(
    clips: Sequence[ScoredClip],
    *,
    scorers: Scorers,
    waveform_of: WaveformOf,
    split_hash: str,
    part: str,
    window_s: float,
    code: str,
    progress: Progress = lambda done, total: None,
) -> list[Certificate]:
    """What each scorer tells on these clips, each of which has a real picture.

    code: hash of the code that judges. progress: questions done, of how many.

    Raises: DataError for a picture or sound that cannot be read.
    """
    found = []
    with tempfile.TemporaryDirectory() as folder:
        judged = Judged(clips, scorers=scorers, waveform_of=waveform_of, folder=Path(folder))
        questions = judged.questions()
        for number, question in enumerate(questions):
            progress(number, len(questions))
            found.append(
                Certificate(
                    task=question.task,
                    scorer=question.scorer,
                    scorer_hash=question.scorer_hash,
                    split_hash=split_hash,
                    part=part,
                    window_s=window_s,
                    num_clips=len(question.clips),
                    num_classes=len({clip.class_name for clip in question.clips}),
                    across=_told(question, among=Among.OTHER_CLASSES),
                    within=_told(question, among=Among.SAME_CLASS),
                    alterations=_altered(question),
                    code=code,
                    created_at=now(),
                )
            )
        progress(len(questions), len(questions))
    return found


def _altered(question: Question) -> tuple[Altered, ...]:
    rows = []
    for alteration, view_of in question.altered.items():
        view = view_of()
        rows.append(
            Altered(
                alteration=alteration.words,
                altered="sound" if isinstance(alteration, SoundAlteration) else "picture",
                across=_rate(view, question, among=Among.OTHER_CLASSES),
                within=_rate(view, question, among=Among.SAME_CLASS),
                moved=view.moved,
            )
        )
    return tuple(rows)


def _told(question: Question, *, among: Among) -> Told:
    reason = _undefined(question, among=among)
    classes = [clip.class_name for clip in question.clips]
    found = (
        None
        if reason is not None
        else telling(
            question.plain().similarity_NN,
            classes=classes,
            among=among,
            folds=question.folds,
            tolerance=TIE_TOLERANCE,
        )
    )
    if found is None:
        where = "has 2 clips" if among is Among.SAME_CLASS else "stands beside another"
        return Told(rate=None, reason=reason or f"no class {where}")
    return Told(
        rate=found.rate,
        low=found.low,
        high=found.high,
        level=found.level,
        p=found.p,
        num_clips=found.num_clips,
        is_told=found.is_told,
    )


def _rate(view: View, question: Question, *, among: Among) -> float | None:
    if _undefined(question, among=among) is not None:
        return None
    found = telling(
        view.similarity_NN,
        classes=[clip.class_name for clip in question.clips],
        among=among,
        folds=question.folds,
        tolerance=TIE_TOLERANCE,
        num_permutations=0,
    )
    return None if found is None else found.rate


def _undefined(question: Question, *, among: Among) -> str | None:
    """Why a task has no answer on these clips."""
    if question.undefined is not None:
        return question.undefined
    if question.task is not Task.CAPTION or among is not Among.SAME_CLASS:
        return None
    of_class: dict[str, set[str]] = {}
    for clip in question.clips:
        of_class.setdefault(clip.class_name, set()).add(clip.caption)
    if all(len(captions) == 1 for captions in of_class.values()):
        return "all clips of a class have one caption"
    return None
