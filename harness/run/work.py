"""What a run computes: its phases from prepared models to the record."""

import math
import shutil
import traceback
from collections.abc import Sequence
from functools import partial

import torch

from core.conditioning.attached import AttachedVariant
from core.data.splits.split import Part
from core.errors import (
    BusyError,
    GuardError,
    HarnessError,
    LimitReachedError,
    NoSpaceError,
    PausedError,
)
from core.files import no_space_is_a_sentence, write_atomic
from core.training.checkpoints import CheckpointFolder
from core.training.interrupts import Interrupted
from core.training.ledger import CHECKPOINT, PREPARE
from core.training.loop import train
from core.training.refused import refused_on_gpu
from core.training.results import StepReport, TrainingResult
from harness.data.source import weights_of
from harness.metrics.arms import GeneratedImage
from harness.metrics.score import RunScores
from harness.records.events import EventLog
from harness.records.folders import FAILURES, RunFolder
from harness.records.journals import FailureJournal, OpeningJournal
from harness.records.parts import (
    ClassWeightTable,
    Evaluation,
    MetricValue,
    SplitFacts,
    StageFacts,
)
from harness.records.processes import Cost
from harness.records.record import (
    RunRecord,
    Status,
    environment,
    now,
)
from harness.records.score_kind import Score
from harness.records.sessions import End, end_of
from harness.records.unaltered import file_hashes
from harness.run.determinism import (
    determinism_facts,
    determinism_notices,
    set_determinism,
)
from harness.run.device import (
    device_facts,
    device_name,
    device_seconds,
    device_sentence,
    keep_freed_memory,
    kernels_of,
    memory_advice,
    peak_memory_bytes,
    require_fit_device,
)
from harness.run.findings import Findings, stage_notices
from harness.run.plan import PlannedRun
from harness.run.prepare import PreparedModel, prepare_model
from harness.run.previews import previews_of
from harness.run.sample import headline_arm, sample_arms
from harness.run.scoring import score_run
from harness.run.session import RunSession
from harness.run.trained import take_over_training
from harness.run.validation import measured_loss
from harness.wording.display import Display
from harness.wording.numbers import count


def execute(planned: PlannedRun, *, display: Display) -> RunRecord:
    """The record of the run, computed, or resumed where it stopped; saved in its folder.

    Raises:
        HarnessError: a sentence and an exit code; a failed run leaves a record that says so.
    """
    device = require_fit_device(planned.profile, asked=planned.request.device)
    with RunSession(planned, device=device_name(device)) as session:
        return _execute(planned, device=device, session=session, display=session.showing(display))


def _execute(
    planned: PlannedRun, *, device: str, session: RunSession, display: Display
) -> RunRecord:
    started_at = now()
    work = _Work(planned, device=device, session=session, display=display)
    try:
        with no_space_is_a_sentence(planned.folder):
            record = work.finish(started_at=started_at)
    except (Interrupted, LimitReachedError, PausedError, NoSpaceError, BusyError):
        raise  # the run is not over: the same command goes on with it
    except torch.OutOfMemoryError as error:
        failure = HarnessError(
            f"{memory_advice(is_trained=work.training is not None)} ({str(error).splitlines()[0]})"
        )
        work.fail(failure, started_at=started_at)
        raise failure from error
    except HarnessError as error:
        work.fail(error, started_at=started_at)
        raise
    except Exception as error:
        RunFolder(planned.folder).traceback.write_text(traceback.format_exc())
        refusal = refused_on_gpu(error)
        if refusal is None:
            work.fail(error, started_at=started_at)
            raise
        refused = GuardError(f"a GPU does not compute this branch: {refusal}")
        work.fail(refused, started_at=started_at)
        raise refused from error
    record.save(planned.folder)
    planned.leave_numbers()
    return record


class _Work:
    """The phases of one run; each leaves its seconds."""

    def __init__(
        self, planned: PlannedRun, *, device: str, session: RunSession, display: Display
    ) -> None:
        self.planned = planned
        self.session = session
        self.display = display
        self.folder = planned.folder
        self.files = RunFolder(planned.folder)
        self.split = planned.prepared.split
        self.score = planned.request.score
        self.part = Part.TEST if self.score is Score.TEST else Part.VAL
        self.findings = Findings(ledger=session.ledger)
        self.findings.notices += planned.notices
        self.training: TrainingResult | None = None
        self.kernels: dict[str, str] = {}
        self.openings = OpeningJournal(planned.folder)
        self.failures = FailureJournal(planned.folder)
        self.num_earlier_failures = self.failures.count
        if self.num_earlier_failures:
            self.findings.notices.append(
                f"it failed {count(self.num_earlier_failures, 'time')} before this try "
                f"({FAILURES} in its folder says why)"
            )
        self.device = device
        display.say(f"{planned.identity.run_id} {device_sentence(self.device)}")
        keep_freed_memory(self.device)
        torch.set_num_threads(planned.profile.training.num_threads)
        self.is_deterministic = planned.profile.training.deterministic
        set_determinism(self.is_deterministic, device=self.device)
        self.findings.notices += determinism_notices(self.is_deterministic, device=self.device)

    def finish(self, *, started_at: str) -> RunRecord:
        """All phases, one after the other."""
        with self.session.limit.watching(), self.session.ledger.spending(PREPARE):
            ready = prepare_model(
                self.planned, device=self.device, findings=self.findings, display=self.display
            )
            self._take_over()
        self.kernels = kernels_of(ready.model.variant, device=self.device)
        with self.findings.timed("train"):
            self.training = self._train(ready)
        self.findings.guards += self.training.guards_passed
        with self.session.limit.watching():
            return self._evaluated(ready, started_at=started_at)

    def _evaluated(self, ready: PreparedModel, *, started_at: str) -> RunRecord:
        """What follows training."""
        loss = None
        if self.score is Score.TEST:
            with self.session.ledger.spending(CHECKPOINT):
                self._save_weights(ready.model)
        else:
            with self.findings.timed("validate"):
                loss = measured_loss(ready, planned=self.planned)
        if self.score is Score.LOSS:
            ready.model.detach()
            return self._record(started_at=started_at, loss=loss)
        with self.findings.timed("sample"):
            images = self._sample(ready)
        self.findings.notices += ready.foundation.notices
        ready.model.detach()
        with self.findings.timed("score"):
            scores = self._score(images)
        return self._record(started_at=started_at, scores=scores, loss=loss)

    # Phases ------------------------------------------------------------------------------

    def _take_over(self) -> None:
        """Go on from what another run of the same training has."""
        if self.score is not Score.TEST:
            return  # its checkpoints are removed at its end, a trial's among many
        other = take_over_training(self.planned)
        if other is not None:
            self.findings.notices.append(
                f"its training is that of {other}, which differs in sampling or scoring alone"
            )
            self.display.say(f"taking over the training of {other}")

    def _train(self, ready: PreparedModel) -> TrainingResult:
        checkpoints = CheckpointFolder(self.files.checkpoints)
        with EventLog(self.files.events) as events:

            def on_step(report: StepReport) -> None:
                events.write(report)
                self.display.step(report)

            result = train(
                ready.model,
                data=ready.data,
                plan=self.planned.plan,
                scheduler=ready.foundation.noise_scheduler,
                latent_shape=ready.foundation.latent_shape,
                seed=self.planned.request.seed,
                checkpoints=checkpoints,
                clock=partial(device_seconds, self.device),
                on_step=on_step,
                on_resume=lambda step: self._resumed(step, events),
                ledger=self.session.ledger,
                interrupt=self.session.interrupt,
                preview=previews_of(ready, planned=self.planned, say=self._note),
            )
        self.findings.notices += checkpoints.notices
        self.findings.notices += stage_notices(result, variant=self.planned.request.variant)
        return result

    def _note(self, line: str) -> None:
        """Tell of something now and in the record."""
        self.findings.notices.append(line)
        self.display.say(line)

    def _resumed(self, step: int, events: "EventLog") -> None:
        events.keep_up_to(step)
        if step:
            self.display.say(f"resuming {self.planned.identity.run_id} after step {step}")

    def _save_weights(self, model: AttachedVariant) -> None:
        from safetensors.torch import save

        tensors = {n: t.cpu().contiguous() for n, t in model.state_dict().items()}
        write_atomic(self.files.weights, content=save(tensors))

    def _sample(self, ready: PreparedModel) -> list[GeneratedImage]:
        arms = None
        if self.score is Score.TEST:
            self.openings.note(now())
        else:
            arms = frozenset({headline_arm(ready.model.variant)})
        profile = self.planned.profile
        out = self.files.images
        shutil.rmtree(out, ignore_errors=True)
        with no_space_is_a_sentence(out):
            return sample_arms(
                ready.model,
                split=self.split,
                features=ready.features,
                foundation=ready.foundation,
                settings=profile.sampling,
                seed=self.planned.request.seed,
                precision=profile.training.precision,
                out=out,
                part=self.part,
                arms=arms,
                progress=lambda done, total: self.display.phase("sampling", done, total),
                say=self._note,
            )

    def _score(self, images: Sequence[GeneratedImage]) -> RunScores:
        return score_run(
            images,
            planned=self.planned,
            part=self.part,
            device=self.device,
            findings=self.findings,
            display=self.display,
        )

    # Records -----------------------------------------------------------------------------

    def fail(self, error: Exception, *, started_at: str) -> None:
        """Leave a record that says why the run failed, and a line that outlasts it."""
        message = str(error) or type(error).__name__
        self.failures.note(now(), error=message)
        how = end_of(error)
        self._record(started_at=started_at, error=message, how=how).save(self.folder)
        self.planned.leave_numbers()

    def _record(
        self,
        *,
        started_at: str,
        scores: RunScores | None = None,
        loss: MetricValue | None = None,
        error: str | None = None,
        how: End = End.FAILED,
    ) -> RunRecord:
        self.session.close(End.FINISHED if error is None else how)
        metrics = scores.summary if scores is not None else {}
        arms = scores.arms if scores is not None else {}
        if loss is not None:  # the first of the scores
            first = {loss.metric: loss}
            metrics = {**first, **metrics}
            arms = {**arms, loss.arm: {**first, **arms.get(loss.arm, {})}}
        return RunRecord(
            run_id=self.planned.identity.run_id,
            status=Status.FINISHED if error is None else Status.FAILED,
            identity=self.planned.identity,
            command=self.planned.request.command,
            results=str(self.planned.request.results),
            started_at=started_at,
            finished_at=now(),
            split=self._split_facts(),
            parameters=self.findings.parameters,
            stages=[
                StageFacts.model_validate(stage, from_attributes=True)
                for stage in (self.training.stages if self.training else ())
            ],
            guards_passed=self.findings.guards,
            metrics=metrics,
            arms=arms,
            controls=scores.controls if scores is not None else [],
            evaluation=scores.evaluation if scores is not None else Evaluation(),
            test_openings=self.openings.count,
            num_earlier_failures=self.num_earlier_failures,
            cost=Cost(
                seconds={name: round(value, 3) for name, value in self.findings.seconds.items()},
                peak_memory_bytes=peak_memory_bytes(self.device),
                # Over all processes, see `StageResult`; all other seconds are of this one alone.
                train_device_seconds=(
                    math.fsum(stage.device_seconds for stage in self.training.stages)
                    if self.training
                    else None
                ),
                device=device_name(self.device),
                resumed_from_step=self.training.resumed_from if self.training else None,
                dollars=self.session.dollars,
                sessions=self.session.facts,
            ),
            environment=environment()
            | self.kernels
            | device_facts(self.device)
            | determinism_facts(self.is_deterministic, device=self.device),
            commits=self.planned.commits,
            notices=self.findings.notices,
            tuning=self.planned.tuning,
            error=error,
            files=file_hashes(self.folder) if error is None else {},
        )

    def _split_facts(self) -> SplitFacts:
        weights = weights_of(self.split, settings=self.planned.profile.data)
        return SplitFacts(
            lock=str(self.planned.prepared.lock),
            hash=self.split.hash,
            notices=list(self.split.notices),
            kind=self.split.kind,
            counts={
                name: {part.value: n for part, n in parts.items()}
                for name, parts in self.split.counts.items()
            },
            class_weights=dict(weights.weights),
            class_weighting=ClassWeightTable.model_validate(weights, from_attributes=True),
            excluded=dict(self.planned.prepared.exclusions),
            num_input=self.planned.prepared.num_input,
        )
