"""The report's sections in their order; each reads facts and returns content."""

from collections.abc import Sequence

from harness.report.comparison.facts import Facts
from harness.report.comparison.sections.cost import quality_against_cost
from harness.report.comparison.sections.differences import forest_plot, seed_slopes
from harness.report.comparison.sections.eligibility import eligibility
from harness.report.comparison.sections.learning import learning_curves
from harness.report.comparison.sections.limits import limits
from harness.report.comparison.sections.listening import class_heat_map, listening_controls
from harness.report.comparison.sections.memorisation import nearest_training
from harness.report.comparison.sections.metrics import all_metrics, distances_against_n
from harness.report.comparison.sections.runs import run_list
from harness.report.comparison.sections.sheet import contact_sheet
from harness.report.comparison.sections.sweeps import sweep_fairness
from harness.report.comparison.sections.verdict import verdict
from harness.report.page.content import Section
from harness.report.page.media import MediaStore


def sections(facts: Facts, *, media: MediaStore) -> Sequence[Section]:
    """All sections, in order; one with nothing to show says why."""
    return (
        verdict(facts),
        eligibility(facts),
        forest_plot(facts),
        seed_slopes(facts),
        all_metrics(facts),
        distances_against_n(facts),
        listening_controls(facts),
        class_heat_map(facts),
        quality_against_cost(facts),
        learning_curves(facts),
        sweep_fairness(facts),
        contact_sheet(facts, media=media),
        nearest_training(facts, media=media),
        limits(facts),
        run_list(facts),
    )
