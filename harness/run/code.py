"""Which sources decide the numbers of a run."""

from pathlib import Path

from core.code import code_hash, package_folder
from harness.branches.registry import find_variant
from harness.metrics.registry import foreign_sources


def code_of(variant: str) -> dict[str, str]:
    """Hashes of the sources that a run of this branch is made by, on this machine.

    Raises:
        UsageError: there is no such branch.
    """
    return code_hashes(find_variant(variant).sources)


def code_hashes(variant_sources: Path) -> dict[str, str]:
    """The same for a branch whose own sources lie there."""
    core = package_folder("core")
    harness = package_folder("harness")
    run = harness / "run"
    return {
        "variant": code_hash([variant_sources]),
        # The corpus acts through the split, the embedded models through their weights.
        "core": code_hash([core], leave_out=[core / "embedded"]),
        # Certificates judge the scorers and make no number of a run.
        "metrics": code_hash(
            [harness / "metrics", *foreign_sources()],
            leave_out=[harness / "metrics" / "certificates"],
        ),
        "run": code_hash(
            [run, harness / "branches" / "unet_adapter.py", harness / "data" / "source.py"],
            leave_out=[
                *(run / "calibration.py", run / "session.py", run / "limit.py"),  # clocks
                run / "certificates.py",
            ],
        ),
    }
