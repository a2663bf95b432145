"""Training steps: the harness against the loop that people write, and against its bare mathematics.

At full size: random weights of Stable Diffusion v1.5's sizes in float32, latents of 32 x 32, by
default as many samples a step as a forward pass of the harness's own default. At `tiny`: two passes
of four. The sides are processes of their own that take turns; see `step_side`. Decoding of files is
left out of the loops, which is in their favour.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from benchmarks.speed.table import Row
from benchmarks.speed.timing import ROOT, Ratio, child_environment, say

STEPS_A_TURN = {"full": 1, "tiny": 10}


class Side:
    """A process that makes steps when it is its turn."""

    def __init__(self, name: str, *, size: str, work: Path, samples: int | None = None) -> None:
        self.name = name
        self._log = (work / f"{size}-{name}.log").open("w")
        words = [sys.executable, "-m", "benchmarks.speed.step_side", name]
        words += ["--work", str(work), "--size", size]
        if samples is not None:
            words += ["--samples", str(samples)]
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=ROOT,
            env=child_environment(),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=120)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._log.close()

    def ready(self) -> dict[str, float]:
        """What it says after its warm-up."""
        return self._answer()

    def turn(self, steps: int) -> dict[str, float]:
        """CPU seconds of so many steps, and peak memory so far."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.startswith("{"):
            raise RuntimeError(f"{self.name} ended; see {self._log.name}")
        return dict(json.loads(line))


def take_turns(
    others: Sequence[str], *, size: str, work: Path, pairs: int, samples: int | None = None
) -> dict[str, dict[str, Any]]:
    """Of the harness against each other side: both sides' CPU seconds of a step, and memory.

    Two processes at a time: of full size each takes gigabytes.
    """
    found: dict[str, dict[str, Any]] = {}
    say(f"steps at {size}: the harness prepares")
    with Side("harness", size=size, work=work, samples=samples) as harness:
        harness.ready()
        for name in others:
            say(f"steps at {size}: {name} prepares")
            with Side(name, size=size, work=work, samples=samples) as other:
                other.ready()
                found[name] = _pairs(harness, other, size=size, pairs=pairs)
    return found


def _pairs(harness: Side, other: Side, *, size: str, pairs: int) -> dict[str, Any]:
    found: dict[str, Any] = {side.name: {"cpu_s_a_step": []} for side in (harness, other)}
    for number in range(pairs):
        say(f"steps at {size}: turn {number + 1} of {pairs} against {other.name}")
        for side in (harness, other):
            answer = side.turn(STEPS_A_TURN[size])
            seconds = answer.pop("cpu_s") / STEPS_A_TURN[size]
            found[side.name]["cpu_s_a_step"].append(seconds)
            found[side.name] |= answer
    return found


def full_size_rows(work: Path, *, pairs: int, samples: int) -> list[Row]:
    """The cached step against the original one, its memory, and the overhead."""
    if not (work / "weights" / "clip" / "config.json").is_file():
        say("writing random weights of Stable Diffusion v1.5's sizes")
        _write_weights(work / "weights")
    found = take_turns(("original", "bare"), size="full", work=work, pairs=pairs, samples=samples)
    return [
        *_against_original(found["original"], samples=samples),
        *_of_overhead("full size", found["bare"]),
    ]


def tiny_rows(work: Path, *, pairs: int) -> list[Row]:
    """The overhead where a step is short."""
    found = take_turns(("bare",), size="tiny", work=work, pairs=pairs)
    return _of_overhead("tiny", found["bare"])


def _write_weights(folder: Path) -> None:
    import torch

    from benchmarks.random_weights import write_random_weights

    write_random_weights(folder, sample_size=32, dtype=torch.float32)


def _against_original(sides: dict[str, Any], *, samples: int) -> list[Row]:
    ours, theirs = sides["harness"], sides["original"]
    ratio = Ratio.of(theirs["cpu_s_a_step"], ours["cpu_s_a_step"])
    about = f"SD v1.5's size, {samples} x 32 x 32: VAE, CLIP, CLAP in each, over cached"
    return [
        Row(
            f"a step of {about}",
            ratio.median,
            "x",
            1.5,
            spread=(ratio.low, ratio.high),
            about=__doc__ or "",
            numbers=sides,
        ),
        Row(
            "the same, peak memory while stepping, cached over original",
            ours["stepping_mib"] / theirs["stepping_mib"],
            "x",
            0.85,
            is_floor=False,
            numbers={name: side["stepping_mib"] for name, side in sides.items()},
        ),
        Row(
            "the same, peak memory since the start, checks before training included",
            ours["peak_mib"] / theirs["peak_mib"],
            "x",
            0.85,
            is_floor=False,
            numbers={name: side["peak_mib"] for name, side in sides.items()},
        ),
    ]


def _of_overhead(size: str, sides: dict[str, Any]) -> list[Row]:
    ours, bare = (sides[name]["cpu_s_a_step"] for name in ("harness", "bare"))
    ratio = Ratio.of(ours, bare)
    return [
        Row(
            f"a step of the harness over a bare loop of the same mathematics, {size}",
            ratio.median,
            "x",
            1.03,
            is_floor=False,
            spread=(ratio.low, ratio.high),
            about=__doc__ or "",
            numbers=sides,
        )
    ]
