"""The report's sections in their order; each reads facts and returns content."""

from collections.abc import Sequence

from harness.report.content import Section
from harness.report.facts import Facts
from harness.report.media import MediaStore
from harness.report.sections.cost import quality_against_cost
from harness.report.sections.differences import forest_plot, seed_slopes
from harness.report.sections.eligibility import eligibility
from harness.report.sections.learning import learning_curves
from harness.report.sections.limits import limits
from harness.report.sections.listening import class_heat_map, listening_controls
from harness.report.sections.memorisation import nearest_training
from harness.report.sections.metrics import all_metrics, distances_against_n
from harness.report.sections.runs import run_list
from harness.report.sections.sheet import contact_sheet
from harness.report.sections.sweeps import sweep_fairness
from harness.report.sections.verdict import verdict


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
