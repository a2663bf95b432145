"""Features are computed where nothing is paid by the hour, before they are packed."""

from collections.abc import Sequence
from pathlib import Path

from core.errors import MissingWeightsError, UsageError
from harness.branches.compared import DEFAULT_VARIANTS
from harness.pack.command import Command, folder_of
from harness.run.plan import Planner, RunRequest
from harness.settings.branch_config import load_run_config
from harness.sweep.request import branch_names
from harness.wording.display import Display
from harness.wording.numbers import count


def encode_missing(commands: Sequence[Command], *, display: Display) -> list[str]:
    """Compute what the commands' branches need and the cache lacks; what could not be, as notices.

    Raises:
        HarnessError: what a run of a branch would raise before its first step.
    """
    try:
        from harness.run.device import training_device
        from harness.run.prepare import cache_features
    except ImportError as error:
        return [f"features that the cache lacks were not computed, for {error.name} is not here"]
    planner = Planner(display)
    device = training_device()
    try:
        for command in commands:
            for request in requests_of(command):
                planned = planner.plan(request)
                encoded = cache_features(planned, device=device, display=display)
                if encoded:
                    display.say(f"{request.variant}: {count(encoded, 'row')} of features encoded")
    except MissingWeightsError:
        profiles = " and ".join(dict.fromkeys(command.profile for command in commands))
        return [
            "features that the cache lacks were not computed, for weights are missing here; the "
            f"other machine computes them first (harness weights --profile {profiles} names them)"
        ]
    return []


def requests_of(command: Command) -> list[RunRequest]:
    """A run of each branch of a command, as far as its features go.

    Raises:
        UsageError: it names no branch.
    """
    configs = _configs(command)
    return [
        RunRequest(
            name,
            profile=command.profile,
            overrides=tuple(command.options.get("--set", [])),
            data=command.last("--data"),
            results=folder_of(command),
            config=configs.get(name),
        )
        for name in branches_of(command)
    ]


def branches_of(command: Command) -> tuple[str, ...]:
    """The branches that a command trains.

    Raises:
        UsageError: it names none.
    """
    configs = _configs(command)
    one, several = command.last("--variant"), command.last("--variants")
    if command.words[0] == "compare":
        return branch_names(None, several or DEFAULT_VARIANTS)
    if command.words[0] == "sweep":
        return branch_names(one, several)
    if one is None and not configs:
        raise UsageError("the run to pack names no branch; add --variant or --config")
    return (one,) if one is not None else tuple(configs)


def _configs(command: Command) -> dict[str, Path]:
    return {
        tuned.variant: Path(path)
        for path in command.options.get("--config", [])
        if (tuned := load_run_config(Path(path)))
    }
