"""The report of a sweep: one HTML page, a Markdown twin, every trial as a row."""

from harness.report.sweep.write import WrittenSweep, write_sweep_report

__all__ = ["WrittenSweep", "write_sweep_report"]
