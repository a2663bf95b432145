"""Votes: what is asked, whom to believe, and what may be said."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import DataError, MismatchError
from core.randomness import rng
from harness.statistics.crossed_votes import (
    P_FACTOR,
    VoteSpread,
    crossed_share,
    detectable_share,
    planned_error,
)
from harness.votes.answers import FORMAT, VoteFile, read_votes
from harness.votes.choose import VoteOptions, _ordered, _repeats
from harness.votes.plan import Kind, Shown, Trial, VotePlan, by_hash, most_misses, trial_id
from harness.votes.scoring import score_votes

NUM_CLIPS, NUM_SEEDS = 24, 4


def plan(*, num_catch: int = 8, num_repeats: int = 6) -> VotePlan:
    """Two branches, a clip a trial, trainings in turn."""
    main = [
        Trial(
            id=trial_id(0, "main", index),
            kind=Kind.BRANCHES,
            sample_id=f"clip{index}",
            class_name="rain",
            seed=index % NUM_SEEDS,
            draw=0,
            first=Shown(name="sonic", path=f"a{index}.png"),
            second=Shown(name="baseline", path=f"b{index}.png"),
            is_first_left=by_hash(0, "side", index)[0] % 2 == 0,
        )
        for index in range(NUM_CLIPS)
    ]
    catch = [
        Trial(
            id=trial_id(0, "catch", index),
            kind=Kind.CATCH,
            sample_id=f"clip{index}",
            class_name="rain",
            seed=None,
            draw=0,
            first=Shown(name="real", path=f"r{index}.png"),
            second=Shown(name="other", path=f"o{index}.png"),
            is_first_left=index % 2 == 0,
        )
        for index in range(num_catch)
    ]
    repeats = _repeats(main, VoteOptions(num_repeats=num_repeats))
    return VotePlan(
        comparison="demo",
        created_at="2026-01-01T00:00:00+00:00",
        seed=0,
        trials=tuple(_ordered([*main, *repeats, *catch], seed=0)),
        most_catch_misses=most_misses(num_catch),
        hashes={},
    )


def listener(
    asked: VotePlan, name: str, *, likes_first: float, catch: float = 1.0, seed: int = 0
) -> tuple[Path, VoteFile]:
    """Simulated: how often the first image is chosen, and the catch trial passed."""
    draw = rng(seed, "listener", name)
    answers: list[dict[str, Any]] = []
    before: dict[str, bool] = {}
    for trial in asked.trials:
        share = catch if trial.kind is Kind.CATCH else likes_first
        is_first = bool(draw.random() < share)
        if trial.repeats is not None:
            is_first = before[trial.repeats]
        before[trial.id] = is_first
        side = "left" if is_first == trial.is_first_left else "right"
        answers.append({"trial": trial.id, "side": side, "seconds": 2.5, "plays": 1})
    content = {
        "format": FORMAT,
        "plan": asked.plan_id,
        "listener": name,
        "started_at": "2026-01-01",
        "answers": answers,
    }
    return Path(f"{name}.json"), VoteFile.model_validate(content)


def test_a_preference_is_found_and_sides_do_not_make_one() -> None:
    """Catches: votes counted by side, or for the wrong branch."""
    asked = plan()
    record = score_votes([listener(asked, f"l{k}", likes_first=0.9) for k in range(6)], plan=asked)
    (question,) = record.questions
    assert (question.first, question.winner) == ("sonic", "sonic")
    assert question.share == pytest.approx(0.9, abs=0.06)
    assert question.num_votes == 6 * NUM_CLIPS
    assert question.num_trainings == NUM_SEEDS
    assert record.reliability == 1
    against = score_votes([listener(asked, f"l{k}", likes_first=0.1) for k in range(6)], plan=asked)
    assert against.questions[0].winner == "baseline"
    few = score_votes([listener(asked, f"l{k}", likes_first=1.0) for k in range(2)], plan=asked)
    assert few.questions[0].winner is None
    assert "fewer than 3 listeners" in few.questions[0].sentence


def test_who_fails_the_catch_trials_is_named_and_counts_nowhere() -> None:
    """Catches: guesses that water down a preference, or a listener who vanishes without a word."""
    asked = plan()
    files = [listener(asked, f"l{k}", likes_first=1.0) for k in range(3)]
    files.append(listener(asked, "guesser", likes_first=0.0, catch=0.5))
    record = score_votes(files, plan=asked)
    assert record.questions[0].share == 1
    assert record.questions[0].num_listeners == 3
    (left_out,) = [facts for facts in record.listeners if facts.left_out]
    assert left_out.name == "guesser"
    assert "of 8 catch trials right" in str(left_out.left_out)
    # Leaving catch trials out is not a way around them.
    path, votes = files[-1]
    caught = {trial.id for trial in asked.trials if trial.kind is Kind.CATCH}
    without = [answer for answer in votes.answers if answer.trial not in caught]
    files[-1] = (path, votes.model_copy(update={"answers": tuple(without)}))
    assert score_votes(files, plan=asked).listeners[-1].left_out is not None


def test_the_rule_passes_a_guesser_in_at_most_5_percent() -> None:
    """Catches: a rule that lets guessers in, or that four trials could give."""
    assert [most_misses(n) for n in (0, 4, 5, 8, 11)] == [-1, -1, 0, 1, 2]


def test_repeats_come_after_their_first_asking_with_sides_exchanged() -> None:
    """Catches: reliability that measures a habit of the hand."""
    asked = plan()
    places = {trial.id: place for place, trial in enumerate(asked.trials)}
    by_id = {trial.id: trial for trial in asked.trials}
    repeats = [trial for trial in asked.trials if trial.repeats is not None]
    assert len(repeats) == 6
    for trial in repeats:
        assert places[trial.id] > places[str(trial.repeats)] + 1
        assert trial.is_first_left != by_id[str(trial.repeats)].is_first_left
    assert not any("sonic" in trial.id or "baseline" in trial.id for trial in asked.trials)


def test_metrics_are_held_against_the_ears() -> None:
    """Catches: agreement with the wrong sign, or a metric that is constant."""
    asked = plan()
    mind = rng(0, "minds of listeners")
    taste = {f"clip{index}": float(mind.random()) for index in range(NUM_CLIPS)}
    files = []
    for k in range(8):
        path, votes = listener(asked, f"l{k}", likes_first=1.0)
        draw = rng(k, "taste")
        by_id = {trial.id: trial for trial in asked.trials}
        answers = []
        for answer in votes.answers:
            trial = by_id[answer.trial]
            if trial.kind is Kind.BRANCHES:
                is_first = bool(draw.random() < taste[trial.sample_id])
                side = "left" if is_first == trial.is_first_left else "right"
                answer = answer.model_copy(update={"side": side})
            answers.append(answer)
        files.append((path, votes.model_copy(update={"answers": tuple(answers)})))
    values = {
        (branch, clip, seed, "audio"): (share if branch == "sonic" else 0.0)
        for clip, share in taste.items()
        for branch in ("sonic", "baseline")
        for seed in range(NUM_SEEDS)
    }
    record = score_votes(
        files,
        plan=asked,
        metrics={
            "good": values,
            "bad": {place: -value for place, value in values.items()},
            "flat": dict.fromkeys(values, 1.0),
        },
    )
    good, bad = record.agreement
    assert (good.metric, bad.metric) == ("good", "bad")
    assert good.low is not None
    assert good.low > 0.3
    assert bad.correlation == pytest.approx(-good.correlation)


def hostile() -> list[tuple[str, bytes, str]]:
    """Name, content, and what the sentence says."""
    _, votes = listener(plan(), "l", likes_first=0.5)
    content = json.loads(votes.model_dump_json())
    first = content["answers"][0]

    def with_(**changes: Any) -> bytes:
        return json.dumps(content | changes).encode()

    return [
        ("empty", b"", "is not a vote file"),
        ("binary", b"\x89PNG\xff\xfe", "is not a vote file"),
        ("deep", b"[" * 100_000, "is not a vote file"),
        ("list", b"[]", "is not a vote file"),
        ("huge", b" " * 2_000_001, "has 2,000,001 bytes"),
        ("side", with_(answers=[first | {"side": "both"}]), "answers.0.side"),
        ("infinite", with_(answers=[first | {"seconds": float("inf")}]), "answers.0.seconds"),
        ("extra", with_(verdict="sonic wins"), "verdict"),
        ("twice", with_(answers=[first, first]), "answers a trial twice"),
        ("control", with_(listener="\x1b[2Jme"), "cannot be printed"),
        ("nobody", with_(listener="  "), "listener"),
        ("path", with_(answers=[first | {"trial": "../../etc"}]), "answers.0.trial"),
    ]


@pytest.mark.parametrize(("name", "content", "sentence"), hostile(), ids=lambda v: str(v)[:12])
def test_a_hostile_file_is_refused_with_a_sentence(
    name: str, content: bytes, sentence: str, tmp_path: Path
) -> None:
    """Catches: a traceback, or a vote, from a file that anyone could have written."""
    path = tmp_path / f"{name}.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=sentence.replace(".", r"\.")):
        read_votes(path)


def test_answers_to_another_plan_and_two_files_of_one_listener_are_refused() -> None:
    """Catches: votes on other images, and one person who counts twice."""
    asked = plan()
    path, votes = listener(asked, "Ann", likes_first=0.5)
    with pytest.raises(MismatchError, match="answers plan"):
        score_votes([(path, votes.model_copy(update={"plan": "0" * 16}))], plan=asked)
    with pytest.raises(DataError, match="counts once"):
        score_votes(
            [(path, votes), (path, votes.model_copy(update={"listener": "ann"}))], plan=asked
        )
    odd = votes.answers[0].model_copy(update={"trial": "0" * 12})
    with pytest.raises(MismatchError, match="never asked"):
        score_votes([(path, votes.model_copy(update={"answers": (odd,)}))], plan=asked)


def test_no_preference_is_rarely_called_one_and_planned_power_is_reached() -> None:
    """Catches: intervals that take clips, trainings or listeners as given.

    A small part of benchmarks/votes_study.py."""
    spread = VoteSpread()
    shape = {"listeners": 10, "clips": 24, "trainings": 4}
    share = detectable_share(**shape, votes_per_listener=24, spread=spread)
    assert 0.55 < share < 0.8
    false, found = 0, 0
    for repeat in range(120):
        for true in (0.5, share):
            p, mean = simulated(true, seed=repeat, spread=spread, **shape)
            false += true == 0.5 and p <= 0.05
            found += true != 0.5 and p <= 0.05 and mean > 0.5
    assert false <= 12  # 5 % of 120 and three standard errors
    assert found >= 80  # 80 % of 120 less three standard errors


def simulated(
    true: float, *, seed: int, spread: VoteSpread, listeners: int, clips: int, trainings: int
) -> tuple[float, float]:
    draw = rng(seed, "votes", f"{true}")
    of_clip = np.arange(clips) % trainings
    share = (
        true
        + draw.normal(0, spread.listeners, listeners)[:, None]
        + draw.normal(0, spread.clips, clips)
        + draw.normal(0, spread.trainings, trainings)[of_clip]
    )
    votes = (draw.random((listeners, clips)) < share).astype(float)
    result = crossed_share(
        votes.ravel(),
        factors={
            "listener": np.repeat(np.arange(listeners), clips).tolist(),
            "clip": np.tile(np.arange(clips), listeners).tolist(),
            "training": np.tile(of_clip, listeners).tolist(),
        },
    )
    return result.p, result.mean


def test_more_of_anything_lowers_the_planned_error_and_a_lone_factor_is_given() -> None:
    """Catches: a plan in which listeners alone could make clips sure."""
    spread = VoteSpread()
    few = planned_error(listeners=5, clips=20, trainings=3, votes_per_listener=20, spread=spread)
    many = planned_error(listeners=500, clips=20, trainings=3, votes_per_listener=20, spread=spread)
    assert many < few
    assert many > spread.clips / np.sqrt(20)
    alone = crossed_share([1.0, 0.0, 1.0], factors={"listener": ["a"] * 3, "clip": [1, 2, 3]})
    assert alone.groups == {"listener": 1, "clip": 3}
    assert alone.p <= P_FACTOR


def test_votes_that_are_all_alike_say_no_more_than_as_many_tosses() -> None:
    """Catches: 20 of 20 votes with a p of 5e-15 and an interval from .95, where shares of .83 and
    more give them once in forty."""
    alike = crossed_share([1.0] * 20, factors={"listener": list(range(20)), "clip": [0] * 20})
    assert alike.p == pytest.approx(P_FACTOR * 2 * 0.5**20)
    assert alike.low == pytest.approx((0.025 / P_FACTOR) ** (1 / 20))
    assert alike.high == 1.0
    none = crossed_share([0.0] * 20, factors={"listener": list(range(20)), "clip": [0] * 20})
    assert (none.p, none.high) == (alike.p, pytest.approx(1 - alike.low))
