"""What the runs of a comparison share is computed once: counted in the second of two runs."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from core.foundation.foundation import Foundation
from harness.metrics.scorers.judges import ImageJudge
from harness.metrics.scorers.scorers import ClipScorer
from harness.run import sample
from harness.run.plan import Planner, RunRequest
from harness.run.prepare import cache_features
from harness.run.run import run
from harness.wording.display import Display


class Said(Display):
    """Keeps what a person is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.num_rows = 0
        self.details: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def phase(self, name: str, done: int, total: int, detail: str = "") -> None:
        if name == "features":
            self.num_rows = total
            self.details.append(detail)


def test_what_is_encoded_is_told_from_what_is_read(
    finished: Any, small_request: Callable[..., RunRequest]
) -> None:
    """Catches: "encoding" said of rows that are in the cache, or all of them called new."""
    said = Said()
    request = small_request("data.window_s=0.7")
    encoded = cache_features(Planner(said).plan(request), device="cpu", display=said)
    num_cached = said.num_rows - encoded
    assert 0 < encoded < said.num_rows
    assert said.details[-1] == f"{num_cached} rows read from the cache, {encoded} encoded"
    assert said.details[0].endswith("read from the cache")


def test_a_second_run_encodes_nothing_and_scores_its_own_images_alone(
    finished: Any, small_request: Callable[..., RunRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: each of nine runs encoding the clips and embedding the real pictures again, a model
    read twice, or a batch that is sampled twice."""
    loads: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    scored: list[Path] = []

    def counted(owner: Any, name: str) -> None:
        plain = getattr(owner, name)

        def call(*args: Any, **words: Any) -> Any:
            calls[name] += 1
            return plain(*args, **words)

        monkeypatch.setattr(owner, name, call)

    def noted(owner: Any, name: str) -> None:
        plain = getattr(owner, name)

        def call(self: Any, paths: Sequence[Path]) -> Any:
            scored.extend(paths)
            return plain(self, paths)

        monkeypatch.setattr(owner, name, call)

    whole = Foundation._whole

    def loaded(self: Foundation, cls: Any, part: str) -> Any:
        loads[part] += 1
        return whole(self, cls, part)

    monkeypatch.setattr(Foundation, "_whole", loaded)
    for name in ("encode_images", "encode_text", "encode_audio"):
        counted(Foundation, name)
    counted(sample, "sample_latents")
    noted(ClipScorer, "images")
    noted(ImageJudge, "read")
    said = Said()
    record = run(small_request(seed=1), display=said)

    assert [line for line in said.lines if line.startswith("features")] == [
        f"features: {said.num_rows} rows read from the cache"
    ]
    assert record.run_id != finished.record.run_id
    assert loads == {"unet": 1, "vae": 1}
    images = sorted((finished.folder.parent / record.run_id / "images").rglob("*.png"))
    assert sorted(scored) == sorted([*images, *images]), "each by CLIP and by the judge, once"
    arms = {path.parent for path in images}
    assert calls == {"sample_latents": len(arms)}, "no encoder; each arm's few clips in one batch"
