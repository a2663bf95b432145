"""The sections of a sweep's report in their order; each reads facts and returns content."""

from collections.abc import Sequence

from harness.report.page.content import Section
from harness.report.sweep.facts import SweepFacts
from harness.report.sweep.sections.best import best_settings
from harness.report.sweep.sections.closing import all_trials, limits
from harness.report.sweep.sections.fairness import fairness
from harness.report.sweep.sections.parameters import importances, parallel_coordinates, slices
from harness.report.sweep.sections.search import best_so_far, learning_curves, pareto_front
from harness.report.sweep.sections.tests import on_test
from harness.report.sweep.sections.verdict import verdict


def sections(facts: SweepFacts) -> Sequence[Section]:
    """All sections, in order; one with nothing to show says why."""
    found = (
        verdict(facts),
        best_settings(facts),
        on_test(facts),
        best_so_far(facts),
        importances(facts),
        slices(facts),
        parallel_coordinates(facts),
        pareto_front(facts),
        learning_curves(facts),
        fairness(facts),
        limits(facts),
        all_trials(facts),
    )
    return [section for section in found if section is not None]
