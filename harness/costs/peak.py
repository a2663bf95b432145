"""How much of its card's peak a run's training reached."""

from core.choices import Precision
from core.conditioning.config import SCHEDULE
from core.files import json_sha256
from harness.costs.cards import load_cards
from harness.costs.known import shipped_work
from harness.records.record import RunRecord


def share_of_peak(record: RunRecord) -> float | None:
    """FLOPs of the training steps over those that the card could have made meanwhile.

    None where the card, its peak in the run's precision, or the branch's work is not known; the
    work is that of the shipped count, so that nothing is counted here.
    """
    device = record.cost.device
    if device is None:
        return None
    cards = load_cards()
    name = cards.of_device(device)
    work = shipped_work().get(_key_of(record))
    if name is None or work is None:
        return None
    settings = record.identity.settings
    try:
        precision = Precision(settings["training"]["precision"])
    except (KeyError, TypeError, ValueError):
        return None
    peak = cards.cards[name].tflops(precision) * 1e12
    flops = seconds = 0.0
    for stage in record.stages:
        if stage.stage in work.stages and stage.device_seconds:
            flops += work.stages[stage.stage].flops * stage.samples_seen
            seconds += stage.device_seconds
    return flops / seconds / peak if seconds and peak else None


def _key_of(record: RunRecord) -> str:
    """As `work_key`, of what the record holds."""
    settings = record.identity.settings

    def section(name: str) -> dict[str, object]:
        found = settings.get(name)
        return found if isinstance(found, dict) else {}

    foundation = section("foundation")
    return json_sha256(
        {
            "variant": record.identity.variant,
            "config": {
                name: value
                for name, value in record.identity.variant_config.items()
                if name not in SCHEDULE
            },
            "models": [foundation.get("stable_diffusion"), foundation.get("clap")],
            "log_mel": section("data").get("log_mel"),
            "lora": section("lora"),
            "ssf": section("ssf"),
        }
    )
