"""Why a branch of `tiny` does not learn when an event comes, and what mends it.

`python -m benchmarks.onset_study [RUNG ...]` climbs from the sound to the image; rows of other
rungs that were measured before stay in `benchmarks/results/onset_study.json`. A rung is `words`,
`encoder`, or an arm of `ARMS` with a seed (`sinusoidal:0`). Each arm is trained as `harness run`
trains it and samples the 67 test clips, each from two noises; the embedded judge reads the
position off the images. A slope of 1 of the position over the true onset is perfect, 0 is deaf;
without listening the error is about .29.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.onset_model import ONSET, Branch, ImageReader
from benchmarks.onset_readouts import captions, of_encoder, of_layers, worth_of_words
from core.conditioning.conditioning import AudioFeature, Conditioning
from core.embedded.corpus.classes import ATTRIBUTES
from harness.statistics.bootstrap import crossed_bootstrap

OUT = Path(__file__).parent / "results" / "onset_study.json"
NUM_DRAWS = 2
GUIDANCE = {"guidance 3": 3.0, "guidance 1": 1.0, "guidance 7.5": 7.5}
PLAIN = "guidance 3"
"""The profile's own."""
SINUSOIDAL = "variant.position=sinusoidal"
_LONG = ("stage1.steps=1000", "stage2.steps=1000", "stage3.steps=120")


@dataclass(frozen=True)
class Arm:
    """One way to train."""

    variant: str = "cutting_edge"
    overrides: tuple[str, ...] = ()
    told: bool = False
    is_whole: bool = False
    """Whether its first seed is also read at other guidance, backwards and between the layers."""
    before: Callable[[Branch], None] = lambda branch: None


def large_noise(branch: Branch) -> None:
    """Position codes of noise as large as the tokens, in place of a fiftieth of it."""
    with torch.no_grad():
        branch.ready.model.variant.position_NC.mul_(50.0)


ARMS = {
    "learned": Arm(is_whole=True),
    "sinusoidal": Arm(overrides=(SINUSOIDAL,), is_whole=True),
    "large_noise": Arm(before=large_noise),
    "learned_long": Arm(overrides=_LONG),
    "told": Arm(overrides=("variant.encoder_adapt=frozen",), told=True),
    "told_baseline": Arm(variant="baseline", told=True),
}


def main(rungs: Sequence[str]) -> None:
    """Measure these rungs and write all rows."""
    rows: dict[str, Any] = json.loads(OUT.read_text()) if OUT.is_file() else {}
    reader = ImageReader()
    results = Path(tempfile.gettempdir()) / "onset-study"
    for rung in rungs:
        started = time.process_time()
        torch.set_num_threads(1)
        rows[rung] = measured(rung, reader=reader, results=results)
        rows[rung]["cpu_s"] = round(time.process_time() - started)
        rows = dict(sorted(rows.items()))
        OUT.write_text(json.dumps(rows, separators=(",", ":")).replace('},"', '},\n"') + "\n")
        shown = {k: v for k, v in rows[rung].items() if k not in ("read", "truth")}
        print(rung, json.dumps(shown), flush=True)
    print(*(f"{name}: {line}" for name, line in summary(rows).items()), sep="\n")


def measured(rung: str, *, reader: ImageReader, results: Path) -> dict[str, Any]:
    """The row of one rung."""
    if rung == "words":
        return of_words(Branch.prepare("text_only", seed=0, overrides=(), results=results), reader)
    if rung == "encoder":
        return {"errors": rounded(of_encoder(untrained(results)))}
    name, seed = rung.split(":")
    return of_arm(ARMS[name], seed=int(seed), reader=reader, results=results)


def untrained(results: Path) -> Branch:
    """`cutting_edge` with the encoder that ships, as it begins."""
    return Branch.prepare("cutting_edge", seed=0, overrides=(), results=results)


def of_words(branch: Branch, reader: ImageReader) -> dict[str, Any]:
    """Can the frozen UNet be told at all: captions that name the place, and what that is worth."""
    ids = list(branch.test_ids)
    row = {"truth": truth_of(branch, ids), "worth": worth_of_words(branch), "read": {}}
    for name, named in {"class": (), "onset": (3,), "all": (0, 1, 2, 3)}.items():
        text = branch.ready.foundation.encode_text(captions(branch, ids, named=named))
        row["read"][name] = read(branch, Conditioning(text), ids=ids, reader=reader)
    return row | {"answers": answers(row)}


def of_arm(arm: Arm, *, seed: int, reader: ImageReader, results: Path) -> dict[str, Any]:
    """Train an arm, and read where its images show the event."""
    branch = Branch.prepare(arm.variant, seed=seed, overrides=arm.overrides, results=results)
    branch = branch.told() if arm.told else branch
    arm.before(branch)
    validation = branch.train()
    ids = list(branch.test_ids)
    row: dict[str, Any] = {"truth": truth_of(branch, ids), "validation": validation, "read": {}}
    for reading, scale in GUIDANCE.items():
        if reading == PLAIN or (arm.is_whole and seed == 0):
            row["read"][reading] = read(
                branch,
                branch.condition(ids),
                ids=ids,
                reader=reader,
                audio_guidance=scale,
                num_draws=NUM_DRAWS if reading == PLAIN else 1,
            )
    row["gates"] = rounded(branch.ready.model.variant.gate_values())
    if arm.is_whole and seed == 0:
        backwards = branch.data.features.audio(AudioFeature.LOG_MEL, ids).flip(-1)
        conditioning = branch.condition(ids, heard={AudioFeature.LOG_MEL: backwards})
        row["read"]["backwards"] = read(branch, conditioning, ids=ids, reader=reader, num_draws=1)
        row["errors"] = rounded(of_layers(branch))
    return row | {"answers": answers(row)}


def read(
    branch: Branch,
    conditioning: Conditioning,
    *,
    ids: list[str],
    reader: ImageReader,
    audio_guidance: float | None = None,
    num_draws: int = NUM_DRAWS,
) -> list[list[list[float]]]:
    """[A, D, N]: each attribute as the judge reads it off images from as many noises."""
    draws = [
        reader.attributes(
            branch.images(ids, conditioning, draw=draw, audio_guidance=audio_guidance)
        )
        for draw in range(num_draws)
    ]
    return np.stack(draws).transpose(2, 0, 1).round(3).tolist()


def truth_of(branch: Branch, ids: list[str]) -> list[list[float]]:
    """[A, N]: each attribute as it is."""
    return branch.truth(ids).T.round(4).tolist()


def rounded(values: dict[str, float]) -> dict[str, float]:
    """To what such a study can tell."""
    return {name: round(value, 4) for name, value in values.items()}


def answers(row: dict[str, Any]) -> dict[str, dict[str, str]]:
    """By reading and attribute: slope and error, with intervals over clips."""
    return {
        name: {
            attribute: sentence(np.array([row["truth"][k]]), np.array([values[k]]))
            for k, attribute in enumerate(ATTRIBUTES)
        }
        for name, values in row["read"].items()
    }


def sentence(truth_SN: np.ndarray, read_SDN: np.ndarray) -> str:
    """Slope over the truth and mean absolute error of S trainings, with 95 % intervals."""
    away_SN = truth_SN - truth_SN.mean(axis=1, keepdims=True)
    spread_S1 = np.square(away_SN).mean(axis=1, keepdims=True)
    read_SN = read_SDN.mean(axis=1)
    slope_S1 = (read_SN * away_SN).mean(axis=1, keepdims=True) / spread_S1
    left_SN = read_SN - read_SN.mean(axis=1, keepdims=True) - slope_S1 * away_SN
    # Each clip's influence on the slope, so that the mean of the table is the slope.
    slope = crossed_bootstrap(slope_S1 + left_SN * away_SN / spread_S1)
    error = crossed_bootstrap(np.abs(read_SDN - truth_SN[:, None]).mean(1))
    return (
        f"slope {slope.mean:.2f} ({slope.low:.2f} to {slope.high:.2f}), "
        f"error {error.mean:.3f} ({error.low:.3f} to {error.high:.3f})"
    )


def summary(rows: dict[str, Any]) -> dict[str, str]:
    """By arm, reading and attribute, over all seeds that were trained."""
    found = {}
    for name in ARMS:
        of_arm_rows = [row for rung, row in rows.items() if rung.split(":")[0] == name]
        for reading in (*GUIDANCE, "backwards"):
            with_it = [row for row in of_arm_rows if reading in row["read"]]
            for k, attribute in enumerate(ATTRIBUTES):
                if with_it and (k == ONSET or reading == PLAIN):
                    found[f"{name}, {reading}, {attribute}, {len(with_it)} seeds"] = sentence(
                        np.array([row["truth"][k] for row in with_it]),
                        np.array([row["read"][reading][k] for row in with_it]),
                    )
    return found


if __name__ == "__main__":
    main(sys.argv[1:] or ["words", "encoder", *(f"{name}:0" for name in ARMS)])
