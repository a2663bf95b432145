"""One run: settings and data in, a record out. Everything else only calls this or reads records."""

from core.files import no_space_is_a_sentence
from harness.records.lock import held
from harness.records.record import RunRecord
from harness.run.identity import require_same_identity
from harness.run.libraries import may_be_finished, require_training_libraries
from harness.run.limit import require_price
from harness.run.plan import PlannedRun, RunRequest, plan_run
from harness.wording.display import Display


def run(request: RunRequest, *, display: Display) -> RunRecord:
    """The record of a finished run: found, resumed, or made.

    Raises:
        HarnessError: a sentence and an exit code; a failed run leaves a record that says so.
    """
    if not may_be_finished(
        request.results, variant=request.variant, seed=request.seed, score=request.score
    ):
        require_training_libraries()
    return run_planned(plan_run(request, display=display), display=display)


def run_planned(planned: PlannedRun, *, display: Display) -> RunRecord:
    """The record of a run that is planned: found, resumed, or made.

    Raises: as `run`.
    """
    found = planned.finished_record
    if found is not None:
        planned.leave_numbers()  # a kill may have come between the record and this
        return found
    # torch, which a finished run needs not
    from harness.run.device import require_fit_device
    from harness.run.work import execute

    require_price(planned.profile.hardware)
    planned.registration.load()  # a branch that cannot be imported leaves no folder
    require_fit_device(planned.profile, asked=planned.request.device)
    with no_space_is_a_sentence(planned.folder):
        planned.folder.mkdir(parents=True, exist_ok=True)
    with held(planned.folder):
        require_same_identity(planned)
        found = planned.finished_record
        return found if found is not None else execute(planned, display=display)
