"""The report's sections in their order; each reads facts and returns content."""

from collections.abc import Sequence

from harness.report.comparison.facts import Facts
from harness.report.comparison.sections.cost import quality_against_cost
from harness.report.comparison.sections.differences import forest_plot, seed_slopes
from harness.report.comparison.sections.eligibility import eligibility
from harness.report.comparison.sections.gallery import gallery
from harness.report.comparison.sections.learning import learning_curves
from harness.report.comparison.sections.limits import limits
from harness.report.comparison.sections.listening import class_heat_map, listening_controls
from harness.report.comparison.sections.memorisation import nearest_training
from harness.report.comparison.sections.metrics import all_metrics, distances_against_n
from harness.report.comparison.sections.runs import run_list
from harness.report.comparison.sections.sheet import contact_sheet, sheet_clips
from harness.report.comparison.sections.sweeps import sweep_fairness
from harness.report.comparison.sections.verdict import verdict
from harness.report.comparison.sections.votes import listeners_votes
from harness.report.page.content import Section
from harness.report.page.media import MediaStore


def sections(facts: Facts, *, media: MediaStore) -> Sequence[Section]:
    """All sections, in order; one with nothing to show says why, but for votes nobody gave."""
    clips = sheet_clips(facts, media=media)
    found = (
        verdict(facts, clips=clips),
        contact_sheet(facts, clips=clips),
        # A comparison's page stays short; its runs have pages of their own.
        *([] if facts.comparison is not None else [gallery(facts, media=media)]),
        forest_plot(facts),
        seed_slopes(facts),
        listeners_votes(facts),
        listening_controls(facts),
        class_heat_map(facts),
        all_metrics(facts),
        distances_against_n(facts),
        nearest_training(facts, media=media),
        quality_against_cost(facts),
        learning_curves(facts, media=media),
        sweep_fairness(facts),
        eligibility(facts),
        limits(facts),
        run_list(facts),
    )
    return [section for section in found if section is not None]
