"""Separators before CLAP: what is encoded of a clip, what a run's id knows, what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import UsageError
from core.foundation.architecture import read_architecture
from core.foundation.foundation import CLAP_SAMPLE_RATE_HZ, Foundation
from core.foundation.separation import open_foundation
from core.foundation.separators import find_separator
from tests.separators import HALVES, Install, installer

SOURCES = {"stable_diffusion": "embedded:stable_diffusion", "clap": "embedded:clap"}


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    return installer(tmp_path, monkeypatch=monkeypatch)


def noise(seed: int, *, num_samples: int = CLAP_SAMPLE_RATE_HZ) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, num_samples).astype(np.float32)


def test_a_clip_is_encoded_with_its_sources_beside_it(install: Install) -> None:
    """Catches: sources of one clip among another's, the clip itself left out, or a pooled
    embedding that is no longer of length 1."""
    plain = Foundation(**SOURCES)
    separating = open_foundation(separator=install(HALVES), **SOURCES)
    clips = [noise(0), noise(1)]
    middle = len(clips[0]) // 2
    silent = np.zeros(middle, np.float32)
    of_each = [
        plain.encode_audio(
            [clip, np.append(clip[:middle], silent), np.append(silent, clip[middle:])]
        )
        for clip in clips
    ]
    got = separating.encode_audio(clips)
    for index, parts in enumerate(of_each):
        torch.testing.assert_close(
            got.sequence_BTD[index], parts.sequence_BTD.flatten(0, 1), rtol=1e-4, atol=1e-5
        )
        mean_D = parts.pooled_BD.mean(dim=0)
        torch.testing.assert_close(got.pooled_BD[index], mean_D / mean_D.norm())
    shapes = separating.shapes(log_mel=(64, 100), num_classes=8)
    assert got.sequence_BTD.shape[1:] == shapes.clap_sequence
    assert (
        read_architecture(*SOURCES.values(), separator="halves").shapes(
            log_mel=(64, 100), num_classes=8
        )
        == shapes
    )


def test_the_revision_changes_with_the_separator_and_its_weights(
    install: Install, tmp_path: Path
) -> None:
    """Catches: cached rows of one separator read for another, for a later version of it, or for
    none."""
    weights = tmp_path / "weights.bin"
    weights.write_bytes(b"one")
    reads = HALVES.replace(
        "separate=separate)", f"separate=separate, weights=(Path({str(weights)!r}),))"
    ).replace("import numpy as np", "import numpy as np\nfrom pathlib import Path", 1)
    names = [
        None,
        install(HALVES),
        install(HALVES.replace("// 2", "// 3"), name="thirds"),
        install(reads, name="reads"),
    ]
    revisions = {open_foundation(separator=n, **SOURCES).revision("clap") for n in names}
    weights.write_bytes(b"two")
    install(reads, name="reads_two")
    revisions.add(open_foundation(separator="reads_two", **SOURCES).revision("clap"))
    assert len(revisions) == 5
    assert open_foundation(separator="halves", **SOURCES).revision("vae") == Foundation(
        **SOURCES
    ).revision("vae")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("1 / 0", r"\(separator_\d+:SEPARATOR\) cannot be imported: ZeroDivisionError"),
        ("SEPARATOR = print", "expected a .*Separator of at least one source"),
        (HALVES.replace("num_sources=2", "num_sources=0"), "of at least one source"),
        (
            HALVES.replace("separate=separate", "separate=separate, weights=(__import__('pathlib')"
                           ".Path('gone.bin'),)"),
            r"weights gone\.bin do not exist",
        ),
    ],
)  # fmt: skip
def test_a_separator_that_cannot_be_is_refused_when_it_is_opened(
    install: Install, code: str, message: str
) -> None:
    """Catches: a traceback, or a run that finds out after its data was read."""
    name = install(code)
    with pytest.raises(UsageError, match=message):
        find_separator(name)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("np.stack([first])", r"returned \[1, 4800\] .*expected \[2, 4800\]"),
        ("np.stack([first, second])[:, 1:]", r"returned \[2, 4799\]"),
        ("np.stack([first, second]) * np.nan", "not finite"),
        ("1 / 0", "failed on a clip of 4800 samples: ZeroDivisionError"),
    ],
)
def test_sources_that_do_not_fit_the_clip_are_refused(
    install: Install, returned: str, message: str
) -> None:
    """Catches: sources that are cut, padded or NaN and train a void run."""
    name = install(HALVES.replace("np.stack([first, second])", returned))
    with pytest.raises(UsageError, match=message):
        find_separator(name).parts_of(noise(0, num_samples=4800))


def test_an_unknown_name_and_two_of_one_name_are_refused(install: Install) -> None:
    """Catches: a typing mistake that trains without a separator, and one of two chosen by lot."""
    install(HALVES)
    with pytest.raises(UsageError, match="brings 'halve'; did you mean 'halves'"):
        find_separator("halve")
    install(HALVES)
    with pytest.raises(UsageError, match="'halves' is both separator_"):
        find_separator("halves")
