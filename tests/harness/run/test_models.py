"""The frozen models of a profile, before anything is loaded."""

from pathlib import Path

import pytest
from huggingface_hub import constants

from harness.run.models import model_commits
from harness.settings.load import load_profile


def test_a_record_names_the_commit_of_each_model_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a record by which nobody can fetch the same weights once `main` has moved on."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    commit, repository = "b" * 40, tmp_path / "models--owner--commits"
    (repository / "snapshots" / commit).mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    profile = load_profile("tiny", overrides=("foundation.clap=owner/commits",))
    assert model_commits(profile) == {"clap": commit}
