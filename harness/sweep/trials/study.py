"""One branch's search: its trials are claimed one at a time, and exactly as many as were asked.

Every rule that several processes must agree on is applied under the study's exclusive lock: dead
trials are put back, the asked number is compared with what is done and under way, and a new trial
gets its parameters before anybody else looks. Why not `study.optimize`: docs/decisions/0020.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from core.errors import MismatchError
from core.randomness import rng
from harness.metrics.fit import VALIDATION_LOSS
from harness.sweep.record import Dimension, Metric, TrialRecord, TrialState
from harness.sweep.trials.defaults import DefaultTrial
from harness.sweep.trials.retries import Retries
from harness.sweep.trials.storage import SweepStorage
from harness.sweep.trials.trials import (
    ERROR,
    IS_DEFAULT,
    PLACE,
    RELEASES,
    experiments_accepted,
    loss_sign,
    may_prune,
    record_of,
    retry_of,
    space_of,
    state_of,
)

Draw = Callable[[Any], dict[str, Any]]


@dataclass(frozen=True)
class Claim:
    """A trial that this process works on."""

    number: int
    """Of the study."""
    trial_id: int
    """Of the storage."""
    settings: dict[str, Any]
    """What `draw` returned; empty for the default trial."""
    params: dict[str, Any]
    """What was drawn."""
    is_default: bool
    """Whether it is the branch as the profile has it."""
    retry_of: int | None
    """The trial that it stands in for, whose process died or was stopped."""
    user_attrs: dict[str, Any]
    """What earlier tries noted."""
    losses: dict[int, float] = field(default_factory=dict, compare=False)
    """What this try has reported, by step."""


class BranchStudy:
    """The Optuna study of one branch, as several processes share it."""

    def __init__(
        self,
        storage: SweepStorage,
        *,
        name: str,
        metrics: Sequence[Metric],
        num_trials: int,
        seed: int,
        sampler: Literal["tpe", "random"],
        startup_trials: int,
        pruner: Literal["median", "none"],
        max_retries: int,
        draw: Draw,
        default_params: Mapping[str, Any],
    ) -> None:
        """Open the study of that name, or make it.

        num_trials: trials to be made, lost ones not counted.
        startup_trials: trials before the sampler learns and before the pruner prunes.
        max_retries: how many deaths of its process a trial survives.
        draw: asks an Optuna trial for parameters and returns settings; a retry is asked again
            and gets the same parameters.
        default_params: parameters of the branch as the profile has it.

        Raises:
            MismatchError: the study exists with other metrics.
            StorageAwayError: the storage was away for too long.
        """
        self.name, self.metrics, self.num_trials = name, tuple(metrics), num_trials
        self._storage, self._draw = storage, draw
        self._seed, self._sampler, self._startup_trials = seed, sampler, startup_trials
        self._default_params = dict(default_params)
        self._ended: dict[int, TrialRecord] = {}
        self._pruner: BasePruner = (
            MedianPruner(n_startup_trials=startup_trials, n_warmup_steps=0)
            if pruner == "median" and may_prune(metrics)
            else NopPruner()
        )
        directions = [
            StudyDirection.MAXIMIZE if metric.is_higher_better else StudyDirection.MINIMIZE
            for metric in metrics
        ]
        self._study = storage.patiently(
            lambda: optuna.create_study(
                study_name=name,
                storage=storage.storage,
                directions=directions,
                load_if_exists=True,
                sampler=RandomSampler(0),  # `claim` sets the one that is used
                pruner=self._pruner,
            )
        )
        storage.patiently(self._name_metrics)
        self._retries = Retries(self._study, storage=storage, max_retries=max_retries)
        if self._study.directions != directions:
            raise MismatchError(
                f"the study {name} in {storage.display_url} was made with "
                f"{[d.name.lower() for d in self._study.directions]}, "
                f"this sweep needs {[d.name.lower() for d in directions]}"
            )

    def claim(self) -> Claim | None:
        """A trial to work on; None while all are done or under way.

        Raises:
            StorageAwayError: the storage was away for too long.
        """
        return self._storage.patiently(self._claim)

    def is_over(self) -> bool:
        """Whether the asked number of trials is done."""
        done = [trial for trial in self._trials() if state_of(trial).counts]
        return len(done) >= self.num_trials

    def report(self, claim: Claim, *, step: int, loss: float) -> bool:
        """Note a validation loss; True if the trial should be pruned now.

        The default trial is never pruned: the best must be comparable with it. Where higher is
        better the study is told the negated loss. A trial that is no longer ours is not noted
        and not pruned; `complete` tells.
        """
        value = loss_sign(self.metrics) * loss
        # A run that goes on from a checkpoint repeats itself.
        if claim.losses.get(step) != value:
            try:
                self._storage.patiently(
                    lambda: self._study_storage.set_trial_intermediate_value(
                        claim.trial_id, step, value
                    )
                )
            except UpdateFinishedTrialError:
                return False
            claim.losses[step] = value
        if claim.is_default or isinstance(self._pruner, NopPruner):
            return False
        return self._storage.patiently(
            lambda: self._pruner.prune(self._study, self._study_storage.get_trial(claim.trial_id))
        )

    def complete(self, claim: Claim, values: Sequence[float]) -> bool:
        """Tell its values, one a metric; a value that is not a number fails it.

        Returns False if the trial is no longer ours: the storage was away for so long that
        others took it for dead and gave it to somebody else. What it found is then ignored.
        """
        for metric, value in zip(self.metrics, values, strict=True):
            if not math.isfinite(value):
                return self.fail(claim, f"its {metric.name} is {value}")
        return self._finish(claim, OptunaState.COMPLETE, [float(value) for value in values])

    def prune(self, claim: Claim) -> bool:
        """End it early; False as for `complete`."""
        last = claim.losses[max(claim.losses)] if claim.losses else math.nan
        # A viewer draws them as values of the metric.
        is_loss = [metric.name for metric in self.metrics] == [VALIDATION_LOSS]
        values = [last] if math.isfinite(last) and is_loss else None
        return self._finish(claim, OptunaState.PRUNED, values)

    def fail(self, claim: Claim, error: str) -> bool:
        """End it as failed by its own fault, which counts; False as for `complete`."""
        return self.note(claim, **{ERROR: error}) and self._finish(claim, OptunaState.FAIL, None)

    def release(self, claim: Claim) -> None:
        """Give it back, because this process is being stopped: another goes on with it at once."""
        self._storage.patiently(lambda: self._release(claim))

    def note(self, claim: Claim, **user_attrs: Any) -> bool:
        """Write facts beside the trial; False as for `complete`, or if it is finished."""
        set_attr = self._study_storage.set_trial_user_attr
        try:
            for key, value in user_attrs.items():
                self._storage.patiently(partial(set_attr, claim.trial_id, key, value))
        except UpdateFinishedTrialError:
            trial = self._storage.patiently(lambda: self._study_storage.get_trial(claim.trial_id))
            return all(trial.user_attrs.get(key) == user_attrs[key] for key in user_attrs)
        return True

    def records(self) -> list[TrialRecord]:
        """Every trial, by number."""
        return [self._ended.get(trial.number) or self._record(trial) for trial in self._trials()]

    def _record(self, trial: FrozenTrial) -> TrialRecord:
        record = record_of(trial, metrics=self.metrics)
        if trial.state.is_finished():  # nothing can be written to it any more
            self._ended[trial.number] = record
        return record

    def space(self) -> list[Dimension]:
        """The parameters drawn so far."""
        return space_of(self._trials())

    def best(self) -> int | None:
        """Number of the complete trial that is best by the first metric; of equals the first."""
        sign = -1 if self.metrics[0].is_higher_better else 1
        done = [
            (sign * trial.values[0], trial.number)
            for trial in self._trials()
            if trial.state is OptunaState.COMPLETE
        ]
        return min(done)[1] if done else None

    def front(self) -> list[int]:
        """Numbers of the trials that no other beats in all metrics; empty with one metric."""
        if len(self.metrics) == 1:
            return []
        return sorted(t.number for t in self._storage.patiently(lambda: self._study.best_trials))

    def _name_metrics(self) -> None:
        """For viewers, which otherwise number them."""
        with experiments_accepted():
            if self._study.metric_names is None:
                self._study.set_metric_names([metric.name for metric in self.metrics])

    # The study's own storage; with PostgreSQL Optuna puts a cache of finished trials before ours.
    @property
    def _study_storage(self) -> optuna.storages.BaseStorage:
        return self._study._storage

    def _trials(self) -> list[FrozenTrial]:
        return self._storage.patiently(lambda: self._study.get_trials(deepcopy=False))

    def _claim(self) -> Claim | None:
        while True:
            try:
                with self._storage.exclusive(self.name):
                    self._retries.put_back_the_dead()
                    return self._claim_alone()
            except UpdateFinishedTrialError:
                continue  # the lock was lost with its connection, and others cleared up behind us

    def _claim_alone(self) -> Claim | None:
        trials = self._study.get_trials(deepcopy=False)
        states = [state_of(trial) for trial in trials]
        held = [t for t, state in zip(trials, states, strict=True) if state is not TrialState.LOST]
        num_under_way = sum(state.counts or state is TrialState.RUNNING for state in states)
        if num_under_way >= self.num_trials:
            return None
        if not any(trial.user_attrs.get(IS_DEFAULT) for trial in held):
            self._study.enqueue_trial(self._default_params, user_attrs={IS_DEFAULT: True, PLACE: 0})
            held = [*held, self._study.get_trials(deepcopy=False)[-1]]
        waiting = [trial for trial in held if trial.state is OptunaState.WAITING]
        place = waiting[0].user_attrs.get(PLACE) if waiting else None
        if place is None:
            taken = {trial.user_attrs.get(PLACE) for trial in held}
            place = next(number for number in range(len(held) + 1) if number not in taken)
        elif waiting:
            # Before it runs: a retry has its place already, so nothing else would show that a
            # process died between the two.
            self._storage.keep_alive(self.name, waiting[0])
        try:
            return self._ask(place)
        except BaseException:
            if waiting:
                self._storage.let_go(waiting[0]._trial_id)
            raise

    def _ask(self, place: int) -> Claim:
        self._study.sampler = self._sampler_of(place)
        with experiments_accepted():
            trial = self._study.ask()
        try:
            return self._draw_settings(trial, place)
        except BaseException:
            # Nobody will work on it: the next claim, ours or another's, must find it dead.
            self._storage.let_go(trial._trial_id)
            raise

    def _draw_settings(self, trial: optuna.Trial, place: int) -> Claim:
        frozen = self._study_storage.get_trial(trial._trial_id)
        is_default = bool(frozen.user_attrs.get(IS_DEFAULT))
        settings = self._draw(DefaultTrial(trial, self._default_params) if is_default else trial)
        self._storage.keep_alive(self.name, frozen)
        if frozen.user_attrs.get(PLACE) != place:
            self._study_storage.set_trial_user_attr(trial._trial_id, PLACE, place)
        if not self._storage.still_exclusive():
            self._retries.lose(frozen)  # others may have counted without it
            raise UpdateFinishedTrialError("the lock was lost while the trial was claimed")
        drawn = self._study_storage.get_trial(trial._trial_id)
        return Claim(
            number=drawn.number,
            trial_id=trial._trial_id,
            settings={} if is_default else settings,
            params=dict(drawn.params),
            is_default=is_default,
            retry_of=retry_of(drawn),
            user_attrs=dict(drawn.user_attrs),
        )

    def _sampler_of(self, place: int) -> BaseSampler:
        """A sampler whose draws depend on the seed, the place and the trials so far alone."""
        seed = int(rng(self._seed, "sweep", "sampler", place).integers(2**32))
        if self._sampler == "random":
            return RandomSampler(seed)
        with experiments_accepted():
            return TPESampler(
                n_startup_trials=self._startup_trials,
                multivariate=True,
                group=True,
                constant_liar=True,
                seed=seed,
            )

    def _release(self, claim: Claim) -> None:
        with self._storage.exclusive(self.name):
            trial = self._study_storage.get_trial(claim.trial_id)
            self._retries.lose(trial)
            if state_of(self._study_storage.get_trial(claim.trial_id)) is TrialState.LOST:
                self._retries.queue_again(trial, num_releases=trial.user_attrs.get(RELEASES, 0) + 1)

    def _finish(self, claim: Claim, state: OptunaState, values: list[float] | None) -> bool:
        try:
            self._storage.patiently(
                lambda: self._study_storage.set_trial_state_values(claim.trial_id, state, values)
            )
            is_ours = True
        except UpdateFinishedTrialError:
            # Either an answer was lost on its way and the trial is as we told it, or others took
            # it for dead.
            trial = self._storage.patiently(lambda: self._study_storage.get_trial(claim.trial_id))
            is_ours = trial.state is state and trial.values == values
        self._storage.let_go(claim.trial_id)
        return is_ours
