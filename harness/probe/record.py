"""A probe on disk: every number that its page, its plots and scripts read."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from core.files import write_atomic

SCHEMA_VERSION: Literal[1] = 1
RECORD = "probe.json"


class Part(BaseModel):
    """A part of the record: fixed once it is made, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ProbedRun(Part):
    """A branch that was probed."""

    run_id: str
    """Its run."""
    name: str
    """What it is called here: the branch, with its seed where a branch has several runs."""
    weights_sha256: str
    """Of its weights file."""
    other_noise: float | None
    """Mean `change` between images of one sound at two noises; None with one noise."""
    other_sound: float | None
    """The same between two sounds, each with its caption, at one noise; None with one sound."""


class ProbedSound(Part):
    """A sound that was altered."""

    label: str
    """What a person calls it."""
    sha256: str
    """Of its file."""
    text: str
    """The caption it was sampled with."""


class ProbedProperty(Part):
    """A property and its levels; see `harness.probe.alterations.Property`."""

    name: str
    unit: str
    levels: tuple[float, ...]
    reference: float
    words: str


class ProbedMeasure(Part):
    """A measure; see `harness.probe.measures.Measure`."""

    name: str
    kind: str
    words: str


class Response(Part):
    """How one measure of one run's images follows one property."""

    run_id: str | None
    """None: what the sound judge reads in the altered sounds themselves, the reference for a
    branch that shows all that there is to hear."""
    property: str
    measure: str
    num_sounds: int
    """Sounds that at least three levels were sampled of."""
    means: tuple[float | None, ...]
    """Of each level; None where no sound has it."""
    slope: float
    """Per unit of the property; of `change`, per unit away from the reference."""
    low: float | None
    """Lower end of the slope's 95 % bootstrap interval over sounds and noises."""
    high: float | None
    """Upper end."""
    monotonicity: float
    """Kendall's tau-b, from -1 to 1."""
    monotonicity_low: float | None
    """Lower end of its 95 % bootstrap interval."""
    monotonicity_high: float | None
    """Upper end."""
    p: float | None
    """Of a slope of 0; None where it was not tested."""
    adjusted_p: float | None
    """Benjamini-Hochberg over everything that was tested of the run."""
    responds: bool
    """Whether `adjusted_p` is at most 0.05."""


class ProbeRecord(Part):
    """A probe whole."""

    schema_version: Literal[1] = SCHEMA_VERSION
    """Format of this record."""
    command: str
    """The command that makes it again."""
    runs: tuple[ProbedRun, ...]
    sounds: tuple[ProbedSound, ...]
    properties: tuple[ProbedProperty, ...]
    measures: tuple[ProbedMeasure, ...]
    num_draws: int
    """Noises of each sound and level."""
    noise_seed: int
    """Seed of the noises."""
    responses: tuple[Response, ...]
    notices: tuple[str, ...]
    """What a reader must know next to the numbers."""

    def response(self, run_id: str | None, *, property: str, measure: str) -> Response | None:
        """The response of that name; None where there is none."""
        for found in self.responses:
            if (found.run_id, found.property, found.measure) == (run_id, property, measure):
                return found
        return None

    def save(self, folder: Path) -> Path:
        """Write `probe.json`. Raises: NoSpaceError."""
        path = folder / RECORD
        write_atomic(path, content=(self.model_dump_json(indent=2) + "\n").encode())
        return path
