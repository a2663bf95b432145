"""One sweep: studies opened or made, trials run, the best written as files, all of it recorded."""

from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from core.data.splits.split import Part
from core.locks import FileLock
from core.training.interrupts import InterruptFlag
from harness.costs.host import host_bytes
from harness.executors.base import Executor
from harness.executors.opening import open_executor
from harness.executors.run_all import run_all
from harness.executors.schedule import drive
from harness.records.control import Asked
from harness.records.folders import ResultsFolder, SweepFolder
from harness.records.sessions import attending
from harness.run.plan import PlannedRun, RunRequest, plan_run
from harness.settings.load import load_profile
from harness.sweep.best import write_best
from harness.sweep.driver import Branch, SweepWork
from harness.sweep.identity import default_name, require_space, same_sweep, study_names
from harness.sweep.objectives import require_rankable
from harness.sweep.outcome import Sweep
from harness.sweep.record import BranchSweep, SweepRecord, TestRuns
from harness.sweep.request import SweepRequest, of_no_branch
from harness.sweep.trials.opening import open_storage
from harness.sweep.trials.study import BranchStudy
from harness.sweep.trials.trials import may_prune
from harness.wording.display import Display
from harness.wording.numbers import count


def sweep(request: SweepRequest, *, display: Display) -> Sweep:
    """Run the trials that are missing, then write the best settings and the record.

    Raises:
        UsageError: an unknown branch, metric or setting, or nothing to search.
        MismatchError: the folder of that name holds another sweep.
        Interrupted: a signal came; the trials that were going go on when the command is given
            again.
        HarnessError: the trials could not be run.
    """
    return _Sweeping(request, display=display).run()


class _Sweeping:
    def __init__(self, request: SweepRequest, *, display: Display) -> None:
        self.request = request
        self.display = display
        self.bases = [plan_run(request.run(name), display=display) for name in request.variants]
        split = self.bases[0].prepared.split
        self.num_validation = len(split.parts[Part.VAL])
        require_rankable(request.metrics, num_validation=self.num_validation)
        for base in self.bases:
            require_space(base)
        # Also settings of one branch alone may be given; the sweep's own are the same for all.
        self.settings = load_profile(
            request.profile, overrides=request.overrides, variant=request.variants[0]
        ).sweep
        self.names = study_names(self.bases, request=request, settings=self.settings)
        self.name = request.name or default_name(self.names)
        self.folder = ResultsFolder(request.results).sweep(self.name).path
        self.branches: list[Branch] = []
        self.test_runs: dict[str, list[TestRuns]] = {}
        self._read_tests()

    def run(self) -> Sweep:
        request, settings = self.request, self.settings
        self.folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            self.storage = stack.enter_context(
                open_storage(
                    request.storage,
                    folder=self.folder,
                    heartbeat_s=settings.heartbeat_s,
                    patience_s=settings.patience_s,
                    say=self.display.say,
                )
            )
            # One at a time: two sweeps begun under one name at once must not share a folder.
            with FileLock(SweepFolder(self.folder).lock):
                self._read_tests()
                self.branches = [
                    self._branch(*pair) for pair in zip(self.bases, self.names, strict=True)
                ]
                record = self._save()
            stack.enter_context(
                attending(SweepFolder(self.folder).sessions, command=record.command)
            )
            self._announce()
            executor = stack.enter_context(
                open_executor(
                    request.executor,
                    num_threads=self.bases[0].profile.training.num_threads,
                    display=self.display,
                    run_bytes=partial(host_bytes, self.bases, results=request.results),
                )
            )
            self._search(executor)
            self._test(executor)
            return Sweep(self._save(), self.folder)

    # Search ------------------------------------------------------------------------------

    def _search(self, executor: Executor) -> None:
        work = SweepWork(
            self.branches,
            metrics=self.request.metrics,
            display=self.display,
            on_change=self._save,
        )
        interrupt = InterruptFlag()
        self.storage.interrupt = interrupt
        try:
            asked = Asked(self.folder, name=self.name)
            drive(work, executor, display=self.display, interrupt=interrupt, asked=asked)
        finally:
            work.release_all()
            self._save()

    def _branch(self, base: PlannedRun, name: str) -> Branch:
        settings = self.settings
        study = BranchStudy(
            self.storage,
            name=name,
            metrics=self.request.metrics,
            num_trials=self.request.num_trials,
            seed=self.request.seed,
            sampler=settings.sampler,
            startup_trials=settings.startup_trials,
            pruner=settings.pruner,
            max_retries=settings.max_retries,
            draw=base.variant.whole_search_space,
            default_params=base.config.in_effect(),
        )
        return Branch(base, study)

    def _announce(self) -> None:
        request = self.request
        names = ", ".join(metric.name for metric in request.metrics)
        self.display.say(
            f"{count(request.num_trials, 'trial')} for each of {', '.join(request.variants)}, "
            f"searched for {names} on {count(self.num_validation, 'validation clip')}; no trial "
            "reads the test clips"
        )
        if self.settings.pruner != "none" and not may_prune(request.metrics):
            self.display.say(f"searched for {names}, no trial is pruned")
        for branch in self.branches:
            done = sum(trial.state.counts for trial in branch.study.records())
            if done:
                self.display.say(f"{branch.name}: {count(done, 'trial')} done already")

    # Test --------------------------------------------------------------------------------

    def _test(self, executor: Executor) -> None:
        """Best and defaults on the test clips, where that was asked for; both at the same seeds."""
        request = self.request
        planned: list[PlannedRun] = []
        for branch in self.branches:
            number = branch.study.best()
            if number is None or not request.test_seeds:
                continue
            pairs = []
            for seed in request.seeds_of_tests:
                default = plan_run(self._test_request(branch, seed), display=self.display)
                tuned = plan_run(
                    replace(
                        default.request,
                        config=SweepFolder(self.folder).config(branch.name),
                        # The file holds them already; on top they would undo what was found.
                        overrides=of_no_branch(request.overrides),
                    ),
                    display=self.display,
                )
                planned += [default, tuned]
                pairs.append(
                    TestRuns(
                        seed=seed,
                        default_run_id=default.identity.run_id,
                        best_run_id=tuned.identity.run_id,
                        best=number,
                    )
                )
            self.test_runs[branch.name] = pairs
        if not planned:
            return
        unique = {run.identity.run_id: run for run in planned}
        missing = [run for run in unique.values() if run.finished_record is None]
        self.display.say(f"best and defaults on the test clips: {len(missing)} runs")
        metric = self.bases[0].profile.deciding.metric
        asked = Asked(self.folder, name=self.name)
        run_all(missing, executor=executor, metric=metric, display=self.display, asked=asked)

    def _test_request(self, branch: Branch, seed: int) -> RunRequest:
        request = self.request
        return RunRequest(
            branch.name,
            profile=request.profile,
            seed=seed,
            overrides=request.overrides,
            data=request.data,
            results=request.results,
            device=request.device,
        )

    # Files -------------------------------------------------------------------------------

    def _save(self) -> SweepRecord:
        """Write the best settings and `sweep.json` as the studies are now."""
        request = self.request
        pruner = self.settings.pruner if may_prune(request.metrics) else "none"
        url = None if request.storage is None else self.storage.display_url
        record = SweepRecord(
            name=self.name,
            command=request.command(storage=url),
            profile=request.profile,
            shared_words=request.shared_words,
            comparison=self.bases[0].profile.deciding,
            metrics=list(request.metrics),
            num_trials=request.num_trials,
            seed=request.seed,
            split_hash=self.bases[0].identity.split_hash,
            num_validation=self.num_validation,
            storage=self.storage.kind,
            storage_url=url,
            test_seeds=request.test_seeds,
            sampler=self.settings.sampler,
            pruner=pruner,
            branches=[self._branch_record(branch) for branch in self.branches],
        )
        record.save(self.folder)
        return record

    def _read_tests(self) -> None:
        """Take note of what the folder holds, which must be this sweep."""
        found = same_sweep(self.folder, request=self.request, bases=self.bases, names=self.names)
        if found is not None:
            self.test_runs = {b.variant: list(b.test_runs) for b in found.branches}

    def _branch_record(self, branch: Branch) -> BranchSweep:
        study = branch.study
        trials = study.records()
        found = BranchSweep(
            variant=branch.name,
            study=study.name,
            space=study.space(),
            trials=trials,
            best=study.best(),
            front=study.front(),
        )
        tested = [runs for runs in self.test_runs.get(branch.name, []) if runs.best == found.best]
        found = found.model_copy(update={"test_runs": tested})
        if found.best is None:
            return found
        path = SweepFolder(self.folder).config(branch.name)
        write_best(
            branch,
            found,
            path=path,
            request=self.request,
            sweep=self.name,
            num_validation=self.num_validation,
        )
        return found.model_copy(update={"config": path.name})
