"""A sweep's plots as inline SVG, in the look of the comparison report."""

from harness.sweep.report.figures.axis import Axis, Mark
from harness.sweep.report.figures.parameters import coordinates, importances, slices
from harness.sweep.report.figures.search import Line, SearchPoint, curves, front, progress

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
