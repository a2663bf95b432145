"""The report of a sweep: one HTML page, a Markdown twin, every trial as a row."""

from harness.sweep.report.write import WrittenSweep, write_sweep_report

__all__ = ["WrittenSweep", "write_sweep_report"]
