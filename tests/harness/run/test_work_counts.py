"""Work that noise cannot touch: how often models are loaded, encoders called and files opened."""

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from core.foundation import foundation
from core.foundation.foundation import Foundation
from harness.records.score_kind import Score
from harness.run.plan import RunRequest
from harness.run.run import run
from harness.wording.display import Display

MakeRequest = Callable[..., RunRequest]
ENCODERS = ("encode_images", "encode_text", "encode_captions", "encode_audio", "encode_clap_text")


@dataclass
class Work:
    """What a run did."""

    encoded: list[str] = field(default_factory=list)
    """Calls of the frozen encoders."""
    loaded: list[tuple[str, str]] = field(default_factory=list)
    """Class and folder of each model that a library read."""
    opened: list[tuple[int, str]] = field(default_factory=list)
    """Files that Python opened, with the number of steps done by then."""
    num_steps: int = 0
    media: frozenset[str] = frozenset()
    """Sounds and pictures of the split."""


class Counting(Display):
    """Notes how many steps are done."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def step(self, report: Any) -> None:
        self._work.num_steps += 1


@pytest.fixture(scope="module")
def work(finished: Any, small_request: MakeRequest) -> Work:
    """A run of another seed on features that are cached, over more steps than there are clips."""
    from diffusers import ModelMixin
    from transformers import PreTrainedModel

    found = Work(media=media_of(finished))
    is_watching = True

    def watch(event: str, arguments: tuple[Any, ...]) -> None:  # an audit hook is never removed
        if is_watching and event == "open":
            found.opened.append((found.num_steps, str(arguments[0])))

    def counted(name: str) -> Callable[..., Any]:
        encode = getattr(Foundation, name)

        def call(self: Foundation, *args: Any, **kwargs: Any) -> Any:
            found.encoded.append(name)
            return encode(self, *args, **kwargs)

        return call

    def loading(base: type) -> Any:
        load = base.from_pretrained.__func__  # type: ignore[attr-defined]

        def from_pretrained(cls: type, folder: Any, *args: Any, **kwargs: Any) -> Any:
            found.loaded.append((cls.__name__, str(folder)))
            return load(cls, folder, *args, **kwargs)

        return classmethod(from_pretrained)

    sys.addaudithook(watch)
    with pytest.MonkeyPatch.context() as patch:
        for name in ENCODERS:
            patch.setattr(Foundation, name, counted(name))
        for base in (ModelMixin, PreTrainedModel):
            patch.setattr(base, "from_pretrained", loading(base))
        run(small_request("stage2.steps=20", seed=1), display=Counting(found))
    is_watching = False
    return found


def media_of(finished: Any) -> frozenset[str]:
    from core.data.splits.split import load_split

    split = load_split(Path(finished.record.split.lock))
    return frozenset(
        str((split.root / path).resolve())
        for sample in split.samples.values()
        for path in (sample.audio_path, sample.image_path)
    )


def test_cached_clips_are_encoded_by_nobody(work: Work) -> None:
    """Catches: a second seed, or a step of it, that pays for the VAE, CLIP's text half or CLAP."""
    assert work.num_steps == 23
    assert work.encoded == []


def test_every_model_is_read_once_and_no_encoder_at_all(work: Work) -> None:
    """Catches: weights read again for sampling or scoring, or CLAP read for sounds it heard."""
    assert set(Counter(work.loaded).values()) == {1}
    names = {name for name, _ in work.loaded}
    assert {"UNet2DConditionModel", "AutoencoderKL"} <= names
    assert not {"CLIPTextModel", "ClapModel"} & names


def test_steps_open_no_sound_picture_or_feature(work: Work) -> None:
    """Catches: an epoch that decodes its media anew, or opens a shard of features per row."""
    during = [path for steps, path in work.opened if 1 <= steps < work.num_steps]
    assert not {str(Path(path).resolve()) for path in during} & work.media
    assert [path for path in during if path.endswith(".safetensors") and "features" in path] == []


def test_a_shard_of_features_is_opened_as_often_however_long_the_run(work: Work) -> None:
    """Catches: reading of the cache that grows with the steps."""
    shards = Counter(
        path for _, path in work.opened if "/features/" in path and path.endswith(".safetensors")
    )
    assert shards
    assert max(shards.values()) == 1  # hashed through Python once; the map is safetensors' own


def test_a_run_that_is_done_loads_no_model(
    work: Work, small_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: models read to say what a record says."""
    request = small_request("stage2.steps=20", seed=1)
    monkeypatch.setattr(foundation, "load_whole", lambda *_, **__: pytest.fail("a model was read"))
    assert run(request, display=Display()).identity.seed == 1
    assert request.score is Score.TEST
