"""The one table of metrics: what it promises to reports, comparisons and readers."""

import re
from pathlib import Path

import pytest

from harness.metrics.distance import FRECHET_MIN_N
from harness.metrics.extractor import Extractor
from harness.metrics.metric import Level
from harness.metrics.registry import METRICS

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"


def test_every_metric_has_its_section_in_the_documentation():
    """Catches: a number in a report that nobody can look up."""
    headings = re.findall(r"^\*\*([a-z0-9_, ]+)\.\*\*", PAGE.read_text(), flags=re.MULTILINE)
    named = [name for heading in headings for name in heading.split(", ")]
    assert sorted(named) == sorted(METRICS)


def test_only_biased_distances_need_a_number_of_images_to_rank():
    """Catches: FID of 66 images in a verdict, or a per-clip score barred from one."""
    needing = {name for name, declared in METRICS.items() if declared.min_rankable_n}
    assert needing == {"fid", "fd_dinov2", "frechet_clip"}
    assert FRECHET_MIN_N == 2048
    assert all(METRICS[name].level is Level.SET for name in needing)


@pytest.mark.parametrize("name", sorted(METRICS))
def test_a_metric_says_what_it_is(name):
    """Catches: a metric under another key, or without unit, definition or extractor."""
    declared = METRICS[name]
    assert declared.name == name
    assert len(declared.definition) > 20
    assert declared.reading.endswith(".")
    assert declared.lowest < declared.highest
    assert declared.unit
    assert declared.extractor in Extractor
    assert declared.chance is None or 0 < declared.chance < 1


def test_fid_and_lpips_rest_on_their_own_networks_alone():
    """Catches: a toy extractor's number under a name that the field knows."""
    assert METRICS["fid"].extractor is Extractor.INCEPTION
    assert METRICS["lpips_diversity"].extractor is Extractor.LPIPS
    assert METRICS["fd_dinov2"].extractor is Extractor.DINOV2
