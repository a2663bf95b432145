"""A run behind a separator: what its record, its images and a comparison know of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import MismatchError, UsageError
from core.foundation.separators import find_separator
from harness.comparison.eligibility import require_comparable
from harness.export.export import export
from harness.generate.generate import GenerateOptions, generate
from harness.generate.sounds import windows_of
from harness.run.plan import RunRequest, plan_run
from harness.run.run import run
from harness.settings.load import load_profile
from harness.wording.display import Display
from tests.separators import HALVES, installer


def test_a_run_behind_a_separator_is_another_run_from_its_id_to_its_images(
    finished: Any,
    small_request: Callable[..., RunRequest],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Catches: a separator that the record does not name, a comparison of sounds that were
    separated with sounds that were not, images generated without it or by a later version, and an
    exported pipeline that hears otherwise than its run."""
    install = installer(tmp_path, monkeypatch=monkeypatch)
    request = small_request(f"foundation.separator={install(HALVES)}")
    record = run(request, display=Display())
    assert record.identity.models["separator"] == find_separator("halves").fingerprint
    assert "separator" not in finished.record.identity.models
    with pytest.raises(MismatchError, match=r"differ in .*separator"):
        require_comparable([finished.record, record])

    folder = request.results / "runs" / record.run_id
    sound = next(iter(Path(str(request.data)).rglob("*.wav")))
    heard = windows_of(sound, window_s=3.0, most=1)[0]
    asked: list[int] = []
    plugin = find_separator("halves")
    monkeypatch.setattr(
        type(plugin), "parts_of", lambda self, clip: asked.append(len(clip)) or [clip] * 3
    )
    images, _ = generate([folder], sounds=heard, options=GenerateOptions(), out=tmp_path / "out")
    assert len(images) == 1
    assert asked
    with pytest.raises(
        UsageError, match="was trained behind separator 'halves', which cannot be exported"
    ):
        export(folder, out=tmp_path / "exported", device="cpu")
    assert not (tmp_path / "exported").exists()

    monkeypatch.undo()
    install = installer(tmp_path, monkeypatch=monkeypatch)
    install(HALVES.replace("// 2", "// 3"))
    with pytest.raises(MismatchError, match="was trained behind separator 'halves'"):
        generate([folder], sounds=heard, options=GenerateOptions(), out=tmp_path / "again")


def test_a_separator_that_is_missing_or_useless_is_refused_before_data_is_read(
    small_request: Callable[..., RunRequest],
) -> None:
    """Catches: a typing mistake that trains on whole clips, and embeddings of whole clips that
    stand in for separated ones without a word."""
    request = small_request("foundation.separator=hpss", data="no such folder")
    with pytest.raises(UsageError, match="no installed package brings 'hpss'; installed are: none"):
        plan_run(request, display=Display())
    overrides = ("foundation.separator=hpss", "foundation.exported.clap_pooled=somewhere")
    with pytest.raises(UsageError, match="exported embeddings are of whole clips"):
        load_profile("tiny", overrides=overrides)
