"""The best settings of a search, as a file that a run takes."""

import shlex
from pathlib import Path

from optuna.trial import FixedTrial

from harness.settings.branch_config import RunConfig, Tuning, write_run_config
from harness.settings.load import parse_settings
from harness.sweep.driver import Branch
from harness.sweep.record import COSTS, BranchSweep, TrialRecord, TrialState
from harness.sweep.request import SweepRequest


def write_best(
    branch: Branch,
    found: BranchSweep,
    *,
    path: Path,
    request: SweepRequest,
    sweep: str,
    num_validation: int,
) -> None:
    """Write the settings of the best trial, how they were found, and the command that runs them.

    found: the search, which has a best trial. sweep: its name.
    """
    assert found.best is not None
    metric = request.metrics[0].name
    trial = found.trial(found.best)
    defaults = [t.values.get(metric) for t in found.trials if t.is_default and t.values]
    counted = {s.value: n for s in TrialState if s.counts and (n := found.counts.get(s.value))}
    config = _config_of(branch, trial, profile=request.profile)
    identity = branch.base.identity
    tuning = Tuning(
        sweep=sweep,
        num_trials=request.num_trials,
        trials=counted,
        study=found.study,
        trial=trial.number,
        metric=metric,
        value=trial.values[metric],
        default_value=defaults[0] if defaults else None,
        split_hash=identity.split_hash,
        num_validation=num_validation,
        seed=request.seed,
        shared_settings_hash=identity.settings_hash,
        own_settings_hash=config.settings_hash,
        searched=sorted({name for one in found.trials for name in one.params}),
    )
    where = "" if metric in COSTS else " on the validation clips"
    command = shlex.join(["harness", "run", "--config", str(path), *request.shared_words])
    write_run_config(
        config.model_copy(update={"tuning": tuning}),
        path,
        comment=f"The best of {sum(counted.values())} trials by {metric}{where}.\n{command}",
    )


def _config_of(branch: Branch, trial: TrialRecord, *, profile: str) -> RunConfig:
    """Every setting of the branch in a trial, so that no later default changes it."""
    variant = branch.base.variant
    drawn = {} if trial.is_default else variant.whole_search_space(FixedTrial(trial.params))
    settings = parse_settings(
        variant.Config,
        {**branch.base.profile.variants.get(branch.name, {}), **drawn},
        what=f"setting of variant {branch.name}, drawn by its search space:",
    )
    return RunConfig(
        variant=branch.name,
        profile=profile,
        variants={branch.name: settings.model_dump(mode="json")},
    )
