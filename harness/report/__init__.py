"""Reports of comparisons and runs, from records on disk and nothing else."""

from harness.report.write import (
    Written,
    write_comparison_report,
    write_report,
    write_runs_report,
)

__all__ = ["Written", "write_comparison_report", "write_report", "write_runs_report"]
