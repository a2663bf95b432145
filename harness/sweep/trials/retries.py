"""What becomes of trials whose process died or was stopped: they fail, and wait to be tried again.

Everything here is called under the study's exclusive lock. Optuna's `fail_stale_trials` does the
like for databases alone, cannot give up on a trial so that it counts, and would leave one without
a retry for good if its process died between the two.
"""

import contextlib
import copy

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from harness.sweep.trials.storage import SweepStorage
from harness.sweep.trials.trials import ERROR, PLACE, RELEASES, RETRY_HISTORY, experiments_accepted
from harness.wording.numbers import count


class Retries:
    """The retries of one study."""

    def __init__(self, study: optuna.Study, *, storage: SweepStorage, max_retries: int) -> None:
        """max_retries: how many deaths of its process a trial survives."""
        self._study, self._storage, self._max_retries = study, storage, max_retries

    @property
    def _study_storage(self) -> BaseStorage:
        return self._study._storage

    def put_back_the_dead(self) -> None:
        """Fail the trials whose process is gone, and queue their retries."""
        running = self._study.get_trials(deepcopy=False, states=(OptunaState.RUNNING,))
        if not running:
            return
        dead = self._storage.dead(self._study.study_name, running)
        for trial in running:
            if trial._trial_id in dead or PLACE not in trial.user_attrs:
                self._bury(trial)

    def _bury(self, trial: FrozenTrial) -> None:
        history = trial.system_attrs.get(RETRY_HISTORY, [])
        num_deaths = len(history) - trial.user_attrs.get(RELEASES, 0) + 1
        # Without a place its claim was never finished: a new trial fills the place.
        is_claimed = PLACE in trial.user_attrs
        try:
            if is_claimed and num_deaths > self._max_retries:
                self._study_storage.set_trial_user_attr(
                    trial._trial_id,
                    ERROR,
                    f"its worker died {count(num_deaths, 'time')}",
                )
            self._study_storage.set_trial_state_values(trial._trial_id, OptunaState.FAIL)
        except UpdateFinishedTrialError:
            return  # it told its result in the last moment
        if is_claimed and num_deaths <= self._max_retries:
            self.queue_again(trial, num_releases=trial.user_attrs.get(RELEASES, 0))

    def lose(self, trial: FrozenTrial) -> None:
        """Fail it without a fault of its own, so that it does not count."""
        with contextlib.suppress(UpdateFinishedTrialError):
            self._study_storage.set_trial_state_values(trial._trial_id, OptunaState.FAIL)
        self._storage.let_go(trial._trial_id)

    def queue_again(self, trial: FrozenTrial, *, num_releases: int) -> None:
        """A waiting trial with the same parameters, unless an earlier try made it already."""
        others = self._study.get_trials(deepcopy=False)
        if any(trial.number in other.system_attrs.get(RETRY_HISTORY, []) for other in others):
            return
        retried = copy.deepcopy(trial)
        if num_releases:
            retried.user_attrs = {**retried.user_attrs, RELEASES: num_releases}
        with experiments_accepted():
            retry = RetryHeartbeatStaleTrialCallback()
        retry(self._study, retried)
