"""`harness score`."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.commands.options import AsJson, Data, DeviceOption, Results, Set, print_result


def score(
    run: Annotated[str, typer.Argument(help="Run id, the start of one, or a path.")],
    set_: Set = None,
    data: Data = None,
    results: Results = Path("results"),
    device: DeviceOption = None,
    as_json: AsJson = False,
) -> None:
    """Score the trained weights of a run with other scorers or other sampling; train nothing.

    `--set` takes scorers.KEY and sampling.KEY. The scores are those of a run of their own.
    """
    from harness.records.folders import RunFolder
    from harness.report.terminal import tables as show
    from harness.run.rescore import rescore
    from harness.wording.display import open_display

    with open_display() as display:
        record, planned = rescore(
            run,
            overrides=tuple(set_ or ()),
            results=results,
            device=None if device is None else device.value,
            data=data,
            display=display,
        )
    payload = {
        "run_id": record.run_id,
        "record": str(RunFolder(planned.folder).record),
        "status": record.status.value,
        "training_id": record.identity.training_id,
        "metrics": {name: score.model_dump(mode="json") for name, score in record.metrics.items()},
    }
    print_result(show.record(record, folder=planned.folder), as_json=as_json, data=payload)
