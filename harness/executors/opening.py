"""The executor that was asked for. Light to import: what an executor needs comes with it."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from enum import StrEnum
from importlib import import_module
from typing import TYPE_CHECKING

from core.errors import HarnessError, UsageError
from harness.executors.store.url import require_url

if TYPE_CHECKING:
    from harness.executors.base import Executor
    from harness.executors.local import LocalExecutor
    from harness.wording.display import Display


class ExecutorKind(StrEnum):
    """Where runs are computed."""

    LOCAL = "local"
    RAY = "ray"


@dataclass(frozen=True)
class ExecutorOptions:
    """Where runs are computed and how many at a time; none of it changes a number of a run."""

    kind: ExecutorKind = ExecutorKind.LOCAL
    """Processes of this machine, or tasks of a Ray cluster."""
    _: KW_ONLY
    jobs: int = 0
    """Runs at a time; 0: as many as there is room for."""
    gpu_share: float = 1.0
    """Part of a GPU that one run takes, above 0 and up to 1."""
    ray_address: str | None = None
    """Of the cluster's head; None: what RAY_ADDRESS says, or a cluster of this machine alone."""
    store: str | None = field(default=None, repr=False)
    """URL through which nodes without the results folder hand runs over; may hold a password."""

    def __post_init__(self) -> None:
        """Refuse options that do not go together, before anything is read or written.

        Raises:
            UsageError: which one, and what it needs.
        """
        if not 0 < self.gpu_share <= 1:
            raise UsageError(f"--gpu-share {self.gpu_share:g}; expected above 0 and up to 1")
        if self.kind is ExecutorKind.LOCAL:
            if self.ray_address is not None:
                raise UsageError("--ray-address needs --executor ray")
            if self.store is not None:
                raise UsageError(
                    "--store needs --executor ray: processes of this machine write to --results"
                )
        if self.store is not None:
            require_url(self.store)


def open_executor(
    options: ExecutorOptions,
    *,
    num_threads: int,
    display: "Display",
    run_bytes: Callable[[], float | None] | None = None,
) -> "Executor":
    """The executor, to be used as a context.

    num_threads: CPU threads that one run takes. run_bytes: memory that one run takes on a CPU.

    Raises:
        UsageError: a number of jobs that there is no room for, or a store of no known kind.
        HarnessError: Ray is not installed, or its cluster or the store cannot be reached or used.
    """
    if options.kind is ExecutorKind.LOCAL:
        found = _local(options, num_threads=num_threads, run_bytes=run_bytes)
        if found.notice is not None:
            display.say(found.notice)
        return found
    try:
        import_module("ray")
    except ImportError as error:
        raise HarnessError(
            "--executor ray needs Ray, which is not installed: pip install 'branch-harness[ray]'"
        ) from error
    from harness.executors.ray.executor import RayExecutor

    if options.store is not None:
        from harness.executors.store.store import RunStore

        RunStore(options.store).check()
    return RayExecutor(
        address=options.ray_address,
        jobs=options.jobs,
        gpu_share=options.gpu_share,
        num_threads=num_threads,
        store=options.store,
        display=display,
    )


def _local(
    options: ExecutorOptions, *, num_threads: int, run_bytes: Callable[[], float | None] | None
) -> "LocalExecutor":
    from harness.executors.host_memory import HostMemory, free_memory
    from harness.executors.local import LocalExecutor

    def memory() -> HostMemory | None:
        free = free_memory()
        needed = None if run_bytes is None or free is None else run_bytes()
        return None if needed is None or free is None else HostMemory(needed, free)

    return LocalExecutor(
        jobs=options.jobs, gpu_share=options.gpu_share, num_threads=num_threads, memory=memory
    )


def jobs_at_a_time(
    options: ExecutorOptions,
    *,
    num_threads: int,
    run_bytes: Callable[[], float | None] | None = None,
) -> tuple[int, str | None]:
    """Runs at a time without opening anything, and what a reader must know of that number.

    Raises:
        UsageError: a number of jobs that there is no room for.
    """
    if options.kind is ExecutorKind.LOCAL:
        try:
            found = _local(options, num_threads=num_threads, run_bytes=run_bytes)
        except ImportError:  # without torch nobody counts GPUs
            return options.jobs or 1, None
        return found.capacity, found.notice
    if options.jobs:
        return options.jobs, None
    return 1, "the cluster is not asked: hours are for one run at a time"
