"""Records of branches and seeds, made of a real one."""

from collections.abc import Sequence

from harness.records.record import RunRecord, Status

METRIC = "aic"


def altered(record: RunRecord, *, variant: str, seed: int, value: float | None) -> RunRecord:
    """The real record as if it were of another branch and seed, with another score."""
    identity = record.identity.model_copy(update={"variant": variant, "seed": seed})
    reason = "no judge" if value is None else None
    score = record.metrics[METRIC].model_copy(update={"value": value, "reason": reason})
    return record.model_copy(
        update={
            "identity": identity,
            "run_id": identity.run_id,
            "metrics": {**record.metrics, METRIC: score},
        }
    )


def matrix(record: RunRecord, values: dict[str, Sequence[float | None]]) -> list[RunRecord]:
    return [
        altered(record, variant=variant, seed=seed, value=value)
        for variant, of_variant in values.items()
        for seed, value in enumerate(of_variant)
    ]


def failed(record: RunRecord) -> RunRecord:
    return record.model_copy(update={"status": Status.FAILED, "error": "NaN", "metrics": {}})
