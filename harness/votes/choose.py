"""The trials of a comparison: clips and trainings in turn by hash, repeats and catch trials among
them.

Nothing that a score says has a part in the choice.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from core.data.splits.split import Split
from core.errors import DataError, UsageError
from core.files import file_sha256
from harness.comparison.record import ComparisonRecord
from harness.metrics.arms import Arm
from harness.records.folders import RunFolder
from harness.records.image_names import file_stem
from harness.records.names import split_of
from harness.records.record import Status, load_record, now
from harness.votes.plan import (
    Kind,
    Shown,
    Trial,
    VotePlan,
    by_hash,
    in_turn,
    most_misses,
    trial_id,
)

_REAL = "real"


@dataclass(frozen=True, kw_only=True)
class VoteOptions:
    """How much is asked."""

    kind: Kind = Kind.BRANCHES
    """Branches against each other, or each branch's matching sound against a mismatched one."""
    num_trials: int = 40
    """Of this kind."""
    num_repeats: int = 6
    """Asked twice."""
    num_catch: int = 8
    """Catch trials."""
    seed: int = 0
    """Of every choice by hash."""
    decides_at: int | None = None
    """Listeners at which the verdict rests on these votes; None: it rests on the metric."""


@dataclass(frozen=True, kw_only=True)
class Ballot:
    """A plan and where its sounds and images lie."""

    plan: VotePlan
    split: Split
    """Has the sounds and the real pictures."""
    window_s: float
    """Length of sound that the branches condition on."""
    folder: Path
    """Of the comparison; paths of images are relative to it."""

    def image(self, shown: Shown) -> Path:
        """The file of an image."""
        below = self.split.root if shown.name in (_REAL, "other") else self.folder
        return below / shown.path


def choose_trials(record: ComparisonRecord, *, folder: Path, options: VoteOptions) -> Ballot:
    """What is asked of listeners.

    folder: of the comparison.

    Raises:
        UsageError: too few branches, images or classes for what is asked; votes that decide on
            something else than the branches, or without catch trials that tell who guesses.
        DataError: the split's clips are gone.
    """
    if options.decides_at is not None:
        _require_deciding(options)
    found = [run for run in record.runs if run.status is Status.FINISHED]
    if not found:
        raise UsageError(f"no run of {record.name} finished; there is nothing to vote on")
    folders = {run.run_id: record.run_folder(run, folder=folder) for run in found}
    first = load_record(folders[found[0].run_id])
    split = split_of(first, results=folders[found[0].run_id].resolve().parents[1])
    images = {
        (run.branch, run.seed): (RunFolder(folders[run.run_id]).images, run.folder) for run in found
    }
    questions = (
        list(combinations(record.branches, 2))
        if options.kind is Kind.BRANCHES
        else [(branch, branch) for branch in record.branches]
    )
    if not questions:
        raise UsageError("a vote between branches requires two of them; pass --kind sound")
    main: list[Trial] = []
    streams = [
        _trials(pair, images=images, split=split, options=options, seeds=record.seeds)
        for pair in questions
    ]
    while streams and len(main) < options.num_trials:
        for stream in list(streams):
            trial = next(stream, None)
            if trial is None:
                streams.remove(stream)
            elif len(main) < options.num_trials:
                main.append(trial)
    if not main:
        raise UsageError(
            f"the runs of {record.name} have no images of both sides; score them again "
            "(harness score) or pass another --kind"
        )
    catch = _catch_trials(split, options=options)
    trials = _ordered([*main, *_repeats(main, options), *catch], seed=options.seed)
    settings = first.identity.settings["data"]
    ballot = Ballot(
        plan=VotePlan(
            comparison=record.name,
            created_at=now(),
            seed=options.seed,
            trials=tuple(trials),
            most_catch_misses=most_misses(len(catch)),
            hashes={},
            decides=options.decides_at is not None,
            num_listeners=options.decides_at,
        ),
        split=split,
        window_s=float(settings["window_s"]),
        folder=folder,
    )
    hashes = {
        shown.path: _digest(ballot.image(shown)) for t in trials for shown in (t.first, t.second)
    }
    plan = ballot.plan.model_copy(update={"hashes": hashes})
    return Ballot(plan=plan, split=split, window_s=ballot.window_s, folder=folder)


def _require_deciding(options: VoteOptions) -> None:
    if options.kind is not Kind.BRANCHES:
        raise UsageError(
            f"--decide rests a verdict about branches on votes, and --kind {options.kind.value} "
            "asks about sounds; pass --kind branches"
        )
    if most_misses(options.num_catch) < 0:
        raise UsageError(
            f"--decide requires at least 5 catch trials, and --catch is {options.num_catch}: with "
            "fewer nobody who guesses could be left out"
        )


def _trials(
    pair: tuple[str, str],
    *,
    images: dict[tuple[str, int], tuple[Path, str]],
    split: Split,
    options: VoteOptions,
    seeds: Sequence[int],
) -> Iterator[Trial]:
    """Every trial of a pair: clips in turn by class, trainings and noises in turn."""
    first, _ = pair
    is_sound = options.kind is Kind.SOUND
    by_class = {
        c: [i for i in split.test if split.samples[i].class_name == c] for c in split.classes
    }
    in_order = sorted(seeds, key=lambda s: by_hash(options.seed, "training", s))
    names = ("matching", "mismatched") if is_sound else pair
    arms = (Arm.AUDIO, Arm.SHUFFLED if is_sound else Arm.AUDIO)
    turn = 0
    for sample_id in in_turn({c: ids for c, ids in by_class.items() if ids}, seed=options.seed):
        for offset in range(len(in_order)):
            seed = in_order[(turn + offset) % len(in_order)]
            shown = [
                _shown(name, images.get((branch, seed)), arm=arm, sample_id=sample_id)
                for name, branch, arm in zip(names, pair, arms, strict=True)
            ]
            if shown[0] is None or shown[1] is None:
                continue
            turn += 1
            words = (options.kind, *pair, sample_id, seed)
            yield Trial(
                id=trial_id(options.seed, *words),
                kind=options.kind,
                sample_id=sample_id,
                class_name=split.samples[sample_id].class_name,
                seed=seed,
                draw=0,
                branch=first if is_sound else None,
                first=shown[0],
                second=shown[1],
                is_first_left=by_hash(options.seed, "side", *words)[0] % 2 == 0,
            )
            break


def _shown(name: str, images: tuple[Path, str] | None, *, arm: Arm, sample_id: str) -> Shown | None:
    if images is None:
        return None
    folder, relative = images
    path = folder / arm / f"{file_stem(sample_id)}-0.png"
    if not path.is_file():
        return None
    below = path.relative_to(folder.parent)
    return Shown(name=name, path=(Path(relative) / below).as_posix())


def _repeats(main: Sequence[Trial], options: VoteOptions) -> list[Trial]:
    chosen = sorted(main, key=lambda t: by_hash(options.seed, "repeat", t.id))
    return [
        trial.model_copy(
            update={
                "id": trial_id(options.seed, "repeat", trial.id),
                "kind": Kind.REPEAT,
                "is_first_left": not trial.is_first_left,
                "repeats": trial.id,
            }
        )
        for trial in chosen[: options.num_repeats]
    ]


def _catch_trials(split: Split, *, options: VoteOptions) -> list[Trial]:
    """Real pictures: the clip's own against one of another class, which nobody who hears fails."""
    if options.num_catch and len(split.classes) < 2:
        raise UsageError(
            "catch trials show a picture of another class, and the split has one class; pass "
            "--catch 0, after which listeners who guess cannot be recognised and count too"
        )
    by_class = {
        c: [i for i in split.test if split.samples[i].class_name == c] for c in split.classes
    }
    own = {c: ids for c, ids in by_class.items() if ids}
    found: list[Trial] = []
    for sample_id in in_turn(own, seed=options.seed + 1):
        if len(found) == options.num_catch:
            break
        sample = split.samples[sample_id]
        others = [i for c, ids in own.items() if c != sample.class_name for i in ids]
        if not others:
            break
        other = min(others, key=lambda i: by_hash(options.seed, "catch", sample_id, i))
        found.append(
            Trial(
                id=trial_id(options.seed, "catch", sample_id),
                kind=Kind.CATCH,
                sample_id=sample_id,
                class_name=sample.class_name,
                seed=None,
                draw=0,
                first=Shown(name=_REAL, path=sample.image_path),
                second=Shown(name="other", path=split.samples[other].image_path),
                is_first_left=by_hash(options.seed, "side", "catch", sample_id)[0] % 2 == 0,
            )
        )
    return found


def _ordered(trials: Sequence[Trial], *, seed: int) -> list[Trial]:
    """By hash; a repeat comes well after its first asking."""
    order = sorted(
        (t for t in trials if t.kind is not Kind.REPEAT), key=lambda t: by_hash(seed, "order", t.id)
    )
    places = {trial.id: place for place, trial in enumerate(order)}
    spaced: list[tuple[float, Trial]] = [(float(place), trial) for place, trial in enumerate(order)]
    for trial in trials:
        if trial.repeats is not None:
            share = by_hash(seed, "order", trial.id)[0] / 256
            least = places[trial.repeats] + 0.5
            spaced.append((least + (len(order) - least) * max(share, 0.3), trial))
    return [trial for _, trial in sorted(spaced, key=lambda pair: pair[0])]


def _digest(path: Path) -> str:
    if not path.is_file():
        raise DataError(f"{path} is gone; votes need the runs' images and the split's pictures")
    return file_sha256(path)
