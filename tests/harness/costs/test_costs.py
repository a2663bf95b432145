"""What a matrix takes: the table against the meta device, cards, memory, hours, dollars."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from core.choices import Precision
from core.data.splits.split import Part
from core.errors import UsageError
from harness.branches.registry import find_variant
from harness.cli.main import app
from harness.costs import measuring
from harness.costs.bench import Bench, BranchBench, joined, newest_bench
from harness.costs.cards import load_cards
from harness.costs.clips import Clips
from harness.costs.counting import count_work
from harness.costs.known import branch_work
from harness.costs.matrix import MatrixPlan, MatrixRequest, plan_branch, plan_matrix
from harness.costs.measuring import measure
from harness.costs.memory import largest_micro_batch, memory_need
from harness.costs.observed import from_runs, scored_items, speed_key, time_observed
from harness.costs.span import Span
from harness.costs.times import image_flops
from harness.costs.work import work_key
from harness.settings.load import load_profile, parse_settings
from harness.wording.display import Display

BRANCHES = ("baseline", "sonic", "cutting_edge")


@pytest.fixture(scope="module")
def full_size(tmp_path_factory: pytest.TempPathFactory) -> MatrixPlan:
    """18 runs at the size of SD v1.5, on every card."""
    request = MatrixRequest(
        variants=BRANCHES,
        num_seeds=6,
        profile="sd15",
        gpu="all",
        results=tmp_path_factory.mktemp("none"),
    )
    return plan_matrix(request)


def config_of(variant: str, profile: Any) -> Any:
    config = find_variant(variant).load_config()
    return parse_settings(config, profile.variants.get(variant, {}), what="setting")


@pytest.mark.parametrize("variant", ["baseline", "text_only"])
def test_the_table_is_what_the_meta_device_counts(variant: str) -> None:
    """Catches: a table of another version of the branch or its layers."""
    profile = load_profile("tiny")
    registration, config = find_variant(variant), config_of(variant, profile)
    counted = count_work(registration, profile=profile, config=config, num_classes=8)
    assert branch_work(registration, profile=profile, config=config) == counted


def test_every_built_in_branch_is_in_the_table() -> None:
    """Catches: a plan that needs torch and a minute for what ships."""
    for name in ("tiny", "sd15"):
        profile = load_profile(name)
        for variant in (*BRANCHES, "text_only", "class_embedding"):
            config = config_of(variant, profile)
            registration = find_variant(variant)
            found = branch_work(registration, profile=profile, config=config)
            assert found.variant == variant
            other = profile.model_copy(
                update={"lora": profile.lora.model_copy(update={"rank": 77})}
            )
            assert work_key(variant, profile=other, config=config) != work_key(
                variant, profile=profile, config=config
            )


@pytest.mark.parametrize(
    ("device", "card"),
    [
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("NVIDIA A10", "A10"),
        ("Tesla T4", "T4"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA GeForce RTX 3060 Ti", None),
        ("NVIDIA L40S", None),
        ("cpu", None),
    ],
)
def test_a_device_is_taken_for_its_own_card(device: str, card: str | None) -> None:
    """Catches: an A100 planned as an A10, an L40S as an L4."""
    assert load_cards().of_device(device) == card


def test_an_own_file_of_cards_goes_over_the_shipped_one(tmp_path: Path) -> None:
    """Catches: a price that cannot be changed, a typing error that passes."""
    path = tmp_path / "cards.toml"
    path.write_text('[cards."RTX 4090"]\nprice_per_hour = 0.9\n')
    found = load_cards(path)
    assert found.cards["RTX 4090"].price_per_hour == 0.9
    assert found.cards["RTX 4090"].memory_gb == 24
    assert found.cards["T4"] == load_cards().cards["T4"]
    path.write_text("[cards.X1]\nmemory_gb = 10\n")
    with pytest.raises(UsageError, match="X1"):
        load_cards(path)
    path.write_text('[cards."RTX 4090"]\nprice = 1\n')
    with pytest.raises(UsageError, match=r"price.*known"):
        load_cards(path)
    with pytest.raises(UsageError, match="did you mean"):
        load_cards().chosen("RTX 4091")


def test_the_measured_card_is_projected_to_what_was_measured(full_size: MatrixPlan) -> None:
    """Catches: a share of another peak, a unit, a batch counted twice."""
    bench = newest_bench()
    assert bench is not None
    (device,) = (d for d in full_size.devices if d.device == load_cards().of_device(bench.card))
    for variant in BRANCHES:
        for stage in ("stage1", "stage2"):
            measured = bench.sd15[variant].step_seconds(stage)
            assert measured is not None
            found = device.runs[variant].step_seconds[stage]
            # It was measured with 8 samples at once; the profile's 4 and 4 take a fifth longer.
            assert found.mid == pytest.approx(measured * 1.2, rel=0.02)
            assert found.low < measured


def test_a_branch_that_the_newest_measurement_lacks_is_taken_from_an_older_one() -> None:
    """Catches: no forecast since a check was cut short or failed; another card's times."""

    def bench(card: str, date: str, **step_ms: float | None) -> Bench:
        rows = {name: BranchBench(stage1_ms=ms) for name, ms in step_ms.items()}
        return Bench(card=card, date=date, torch="2", batch=8, sd15=rows)

    found = joined(
        [
            bench("A", "2026-02-02", sonic=95.0, baseline=None),
            bench("A", "2026-02-01", sonic=130.0, baseline=140.0),
            bench("A", "2026-01-01", baseline=500.0),
            bench("B", "2026-02-01", cutting_edge=9.0),
        ]
    )
    assert (found.card, found.date) == ("A", "2026-02-02")
    assert {name: row.stage1_ms for name, row in found.sd15.items()} == {
        "sonic": 95.0,
        "baseline": 140.0,
    }


def test_slower_cards_take_longer_and_cost_their_price(full_size: MatrixPlan) -> None:
    """Catches: a ratio the wrong way round, dollars of one run shown as those of all."""
    found = {device.device: device for device in full_size.devices}
    order = ["H200", "H100", "A100", "RTX 5090", "RTX 4090", "RTX 3090", "RTX 3060"]
    hours = [found[name].total.mid for name in order]
    assert hours == sorted(hours)
    card = found["RTX 4090"]
    one = sum(time.each.mid for time in card.runs.values())
    assert card.total.mid == pytest.approx(6 * one + max(t.shared.mid for t in card.runs.values()))
    assert card.dollars is not None
    assert card.price_per_hour is not None
    assert card.dollars.mid == pytest.approx(card.total.mid / 3600 * card.price_per_hour)
    twice = plan_matrix(replace(full_size.request, gpu="4090", jobs=2)).devices[0]
    assert twice.total.mid < 0.51 * card.total.mid


def test_memory_is_that_of_the_measurements() -> None:
    """Catches: a fit that a change of the branches has left behind."""
    profile = load_profile("sd15")
    work = branch_work(find_variant("sonic"), profile=profile, config=config_of("sonic", profile))
    beside = 1.6e9
    for micro_batch, gib in ((4, 8.7), (8, 14.07), (32, 46.6)):
        need = memory_need(work, precision=Precision.BFLOAT16, micro_batch=micro_batch)
        assert (need.num_bytes - beside) / 2**30 == pytest.approx(gib, rel=0.06)


def test_a_card_is_told_its_micro_batch_and_arithmetic(full_size: MatrixPlan) -> None:
    """Catches: a plan for a card that dies of memory at the first step, or has no bfloat16."""
    found = {device.device: device for device in full_size.devices}
    assert found["T4"].settings[:2] == ("training.precision=float16", "foundation.dtype=float16")
    assert found["RTX 4090"].largest_micro_batch == 8
    work = [branch.work for branch in full_size.branches]
    for memory_gb, expected in ((8, 1), (12, 4), (16, 4), (24, 8), (80, 8), (4, None)):
        card = load_cards().cards["RTX 3060"].model_copy(update={"memory_gb": memory_gb})
        largest = largest_micro_batch(work, card=card, precision=Precision.BFLOAT16, batch_size=8)
        assert largest == expected, memory_gb


def test_finished_runs_sharpen_the_plan(finished: Any) -> None:
    """Catches: an estimate from elsewhere where the same was measured here; images of many solver
    steps that take as long as those of one."""
    record = finished.record
    profile = load_profile("tiny", overrides=finished.request.overrides, variant="baseline")
    config = config_of("baseline", profile)
    key = speed_key(
        "baseline",
        settings=profile.model_dump(mode="json"),
        config=config.model_dump(mode="json"),
    )
    work = branch_work(find_variant("baseline"), profile=profile, config=config)
    observed = from_runs([record], key=key, device="cpu", work=work)
    assert observed is not None
    assert from_runs([record], key="another", device="cpu", work=work) is None
    assert from_runs([record], key=key, device="Tesla T4", work=work) is None
    sizes = {p.value: sum(parts[p] for parts in record.split.counts.values()) for p in Part}
    clips = Clips(**sizes, source="")
    time = time_observed(observed, work, profile=profile, clips=clips, is_here=True)
    assert time.each.mid + time.shared.mid == pytest.approx(record.total_seconds, rel=0.02)
    longer = profile.model_copy(update={"stage1": profile.stage1.model_copy(update={"steps": 20})})
    more = time_observed(observed, work, profile=longer, clips=clips, is_here=True)
    per_step = record.stages[0].seconds / record.stages[0].steps_done
    assert more.each.mid - time.each.mid == pytest.approx(18 * per_step)
    steps = 1000 * profile.sampling.steps
    finer = profile.model_copy(
        update={"sampling": profile.sampling.model_copy(update={"steps": steps})}
    )
    images = time_observed(observed, work, profile=finer, clips=clips, is_here=True).phases
    ratio = image_flops(work, steps=steps, passes=2) / image_flops(work, steps=1, passes=2)
    assert images["sample"].mid == pytest.approx(ratio * time.phases["sample"].mid)
    assert images["sample"].mid > 50 * time.phases["sample"].mid


def test_scored_media_count_only_where_they_were_read(
    finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a rate of scoring that is a third of the truth, since a branch that was measured
    before had left the features of the real pictures and sounds."""
    request = replace(finished.request, results=tmp_path / "results")
    work = plan_branch(
        "baseline",
        MatrixRequest(
            variants=("baseline",),
            num_seeds=1,
            profile="tiny",
            overrides=request.overrides,
            data=request.data,
            results=request.results,
        ),
    ).work
    counted: list[int] = []

    def noted(num_images: int, *, num_clips: int) -> int:
        counted.append(num_clips)
        return scored_items(num_images, num_clips=num_clips)

    monkeypatch.setattr(measuring, "scored_items", noted)
    for seconds in (0, 1):
        monkeypatch.setattr(measuring.time, "time", lambda seconds=seconds: seconds)
        measure(request, work, display=Display(), num_steps=5)
    sizes = [parts["val"] for parts in finished.record.split.counts.values()]
    assert counted == [sum(sizes), 0]


def test_a_first_forecast_is_not_unknown(tmp_path: Path) -> None:
    """Catches: no word on hours at the one moment that it is needed, before the first run."""
    (device,) = plan_matrix(
        MatrixRequest(variants=BRANCHES, num_seeds=3, profile="tiny", results=tmp_path)
    ).devices
    assert device.problem is None
    assert "another CPU" in device.runs["sonic"].basis
    assert 4 < device.total.high / device.total.low < 8
    half = MatrixRequest(
        variants=BRANCHES,
        num_seeds=3,
        profile="tiny",
        overrides=("training.micro_batch=8",),
        results=tmp_path,
    )
    ratio = plan_matrix(half).devices[0].runs["sonic"].step_seconds["stage1"].mid
    assert ratio == pytest.approx(device.runs["sonic"].step_seconds["stage1"].mid / 2)


def test_plan_needs_no_weights_and_says_what_it_rests_on(tmp_path: Path) -> None:
    """Catches: a plan that fails without the models, or hides that its card was never measured."""
    words = ["plan", "--profile", "sd15", "--results", str(tmp_path / "none")]
    shown = CliRunner().invoke(app, [*words, "--gpu", "4090,T4", "--clips", "1000"])
    assert shown.exit_code == 0, shown.output
    assert "1,000 clips, 800 to train on" in shown.output
    assert "NVIDIA H200" in shown.output
    assert "no measurement has confirmed" in " ".join(shown.output.split())
    data = json.loads(CliRunner().invoke(app, [*words, "--gpu", "all", "--json"]).output)
    assert [branch["steps"] for branch in data["branches"]] == [12000, 12000, 12000]
    assert {device["device"] for device in data["devices"]} == set(load_cards().cards)
    assert not (tmp_path / "none").exists()
    wrong = CliRunner().invoke(app, [*words, "--gpu", "RTX 9999"])
    assert isinstance(wrong.exception, UsageError)


def test_a_span_keeps_its_order() -> None:
    """Catches: a range whose ends have changed places."""
    span = Span.between(9.0, 4.0, factor=2)
    assert (span.low, span.mid, span.high) == (2.0, 6.0, 18.0)
    assert span + Span.about(1.0) == Span(3.0, 7.0, 19.0)
