"""Scores of a run's images: what is measured, by which scorers, and against which controls."""
