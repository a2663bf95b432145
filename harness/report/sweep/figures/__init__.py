"""A sweep's plots as inline SVG, in the look of the comparison report."""

from harness.report.sweep.figures.axis import Axis, Mark
from harness.report.sweep.figures.parameters import coordinates, importances, slices
from harness.report.sweep.figures.search import Line, SearchPoint, curves, front, progress

__all__ = [
    "Axis",
    "Line",
    "Mark",
    "SearchPoint",
    "coordinates",
    "curves",
    "front",
    "importances",
    "progress",
    "slices",
]
