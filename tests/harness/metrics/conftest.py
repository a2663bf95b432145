"""The made world, its scorers, and the scores of a branch that hears all there is."""

import pytest

from harness.metrics.arms import Arm
from harness.metrics.score import RunScores
from harness.metrics.scorers.scorers import Scorers
from tests.harness.metrics.made_world import World


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def scorers() -> Scorers:
    return Scorers.load(
        clip="embedded:clip",
        image_judge="embedded:image_judge",
        audio_judge="embedded:audio_judge",
        conditioners=["embedded:clap", "embedded:stable_diffusion"],
    )


@pytest.fixture(scope="module")
def listening(world, scorers) -> RunScores:
    images = [
        *world.painted(Arm.AUDIO, shift=0),
        *world.painted(Arm.AUDIO, shift=0, draw=1),
        *world.painted(Arm.SHUFFLED, shift=3),
    ]
    return world.score(images, scorers)
