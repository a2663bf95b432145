"""Trackers: each is an optional package, imported where it is asked for and nowhere else.

What is used of them, by their documentation: TensorBoard's event files
(https://www.tensorflow.org/tensorboard), `wandb.init` with `id` and `resume`
(https://docs.wandb.ai/ref/python/init), trackio's functions of the same names
(https://github.com/gradio-app/trackio), and MLflow's client
(https://mlflow.org/docs/latest/python_api/mlflow.client.html).
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from core.errors import UsageError

Values = Mapping[str, float]
_RUN_TAG = "branch_harness.run_id"


@dataclass(frozen=True)
class Target:
    """Where copies go."""

    project: str
    """What a tracker files runs under."""
    folder: Path
    """Of what is written here: event files, or an offline tracker's own."""


class Sink(ABC):
    """Takes the numbers of one run."""

    last_step: int = 0
    """Newest step that the tracker has of an earlier copy; 0 where it cannot tell."""

    @abstractmethod
    def __init__(self, run_id: str, *, settings: Mapping[str, str], target: Target) -> None:
        """Open the run at the tracker, or go on with it where it is there.

        Raises: UsageError: the tracker's package is not installed.
        """

    @abstractmethod
    def log(self, values: Values, *, step: int) -> None:
        """Numbers of one optimiser step."""

    @abstractmethod
    def finish(self, scores: Values, *, status: str) -> None:
        """How the run ended, and its scores."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the tracker."""


class TensorBoard(Sink):
    """Event files, for `tensorboard --logdir FOLDER`; each copy starts a file of its own."""

    def __init__(self, run_id: str, *, settings: Mapping[str, str], target: Target) -> None:
        writers = _needed("tensorboard.summary.writer.event_file_writer", package="tensorboard")
        self._event = import_module("tensorboard.compat.proto.event_pb2").Event
        self._summary = import_module("tensorboard.compat.proto.summary_pb2").Summary
        self._step = 0
        folder = target.folder / run_id
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()  # its steps come again, and TensorBoard would draw both
        self._writer = writers.EventFileWriter(str(folder))

    def log(self, values: Values, *, step: int) -> None:
        self._step = step
        found = [self._summary.Value(tag=name, simple_value=x) for name, x in values.items()]
        self._writer.add_event(
            self._event(step=step, wall_time=time.time(), summary=self._summary(value=found))
        )

    def finish(self, scores: Values, *, status: str) -> None:
        self.log({f"scores/{name}": value for name, value in scores.items()}, step=self._step)

    def close(self) -> None:
        self._writer.close()


class Wandb(Sink):
    """Weights & Biases; with WANDB_MODE=offline nothing leaves this machine."""

    def __init__(self, run_id: str, *, settings: Mapping[str, str], target: Target) -> None:
        target.folder.mkdir(parents=True, exist_ok=True)
        self._run = _needed("wandb").init(
            project=target.project,
            id=run_id,
            name=run_id,
            resume="allow",
            config=dict(settings),
            dir=str(target.folder),
        )
        self.last_step = int(self._run.step)

    def log(self, values: Values, *, step: int) -> None:
        self._run.log(dict(values), step=step)

    def finish(self, scores: Values, *, status: str) -> None:
        found = {f"scores/{name}": value for name, value in scores.items()}
        self._run.summary.update({**found, "status": status})

    def close(self) -> None:
        self._run.finish()


class Trackio(Sink):
    """trackio, whose runs lie in SQLite files below TRACKIO_DIR or the user's cache."""

    def __init__(self, run_id: str, *, settings: Mapping[str, str], target: Target) -> None:
        trackio = _needed("trackio")
        storage = import_module("trackio.sqlite_storage").SQLiteStorage
        self.last_step = int(storage.get_max_step_for_run(target.project, run=run_id) or 0)
        self._run = trackio.init(
            project=target.project,
            name=run_id,
            config=dict(settings),
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        self._step = self.last_step

    def log(self, values: Values, *, step: int) -> None:
        self._step = step
        self._run.log(dict(values), step=step)

    def finish(self, scores: Values, *, status: str) -> None:
        self.log({f"scores/{name}": value for name, value in scores.items()}, step=self._step + 1)

    def close(self) -> None:
        self._run.finish()


class Mlflow(Sink):
    """MLflow, at MLFLOW_TRACKING_URI or where MLflow itself keeps runs."""

    def __init__(self, run_id: str, *, settings: Mapping[str, str], target: Target) -> None:
        self._mlflow = _needed("mlflow")
        self._client = self._mlflow.MlflowClient()
        experiment = self._client.get_experiment_by_name(target.project)
        number = (
            self._client.create_experiment(target.project)
            if experiment is None
            else experiment.experiment_id
        )
        there = self._client.search_runs([number], f"tags.`{_RUN_TAG}` = '{run_id}'")
        if there:
            self._id = there[0].info.run_id
            history = self._client.get_metric_history(self._id, "train/loss")
            self.last_step = max((point.step for point in history), default=0)
        else:
            run = self._client.create_run(number, run_name=run_id, tags={_RUN_TAG: run_id})
            self._id = run.info.run_id
            for name, value in settings.items():
                self._client.log_param(self._id, name, value)

    def log(self, values: Values, *, step: int) -> None:
        now = int(time.time() * 1000)
        metric = self._mlflow.entities.Metric
        self._client.log_batch(
            self._id, metrics=[metric(name, x, now, step) for name, x in values.items()]
        )

    def finish(self, scores: Values, *, status: str) -> None:
        self.log({f"scores/{name}": value for name, value in scores.items()}, step=0)
        ends = {"finished": "FINISHED", "failed": "FAILED"}
        self._client.set_terminated(self._id, ends.get(status, "KILLED"))

    def close(self) -> None:
        """Nothing is held open."""


SINKS: Mapping[str, type[Sink]] = {
    "tensorboard": TensorBoard,
    "trackio": Trackio,
    "wandb": Wandb,
    "mlflow": Mlflow,
}


def _needed(module: str, *, package: str | None = None) -> Any:
    package = package or module
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        raise UsageError(
            f"{package} is not installed in this environment: pip install {package}"
        ) from None
