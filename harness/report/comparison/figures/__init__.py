"""Plots as inline SVG: one function a figure, each drawn for a desktop and for a phone."""

from harness.report.comparison.figures.differences import forest, slopes
from harness.report.comparison.figures.scores import Curve, controls, distances
from harness.report.comparison.figures.training import CostPoint, cost, learning

__all__ = ["CostPoint", "Curve", "controls", "cost", "distances", "forest", "learning", "slopes"]
