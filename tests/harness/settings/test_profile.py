"""Settings: one place of defaults, profiles and overrides on top, no key unread."""

from pathlib import Path
from typing import Any

import pytest

from core.conditioning.stage import StopCriterion
from core.embedded.recipes import mamba
from core.errors import UsageError
from core.sampling.sampler import Sampler
from harness.branches.registry import find_variant
from harness.settings.load import load_profile, parse_settings, profile_names
from harness.settings.profile import Profile
from variants.sonic import VARIANT as SONIC


@pytest.mark.parametrize("name", ["sd15", "tiny"])
def test_every_shipped_profile_parses(name: str) -> None:
    """Catches: a profile with a key that nothing reads."""
    assert name in profile_names()
    assert isinstance(load_profile(name), Profile)


def test_a_table_keeps_the_defaults_it_does_not_name() -> None:
    """Catches: a TOML table that replaces a whole group of settings, defaults and all."""
    profile = load_profile("tiny")
    assert profile.stage3.lr == 0.02
    assert profile.stage3.stop is StopCriterion.VALIDATION_LOSS
    assert profile.stage3.weight_decay == 0.0


def test_the_full_size_profile_has_the_schedule_of_the_user() -> None:
    """Catches: 3,000 / 7,000 / 2,000 steps quietly changed."""
    profile = load_profile("sd15")
    stages = (profile.stage1, profile.stage2, profile.stage3)
    assert [stage.steps for stage in stages] == [3000, 7000, 2000]
    assert [stage.lr for stage in stages] == [1e-4, 5e-5, 0.1]
    assert profile.data.source is None
    assert profile.scorers.image_judge is None


@pytest.mark.parametrize(
    ("item", "place", "expected"),
    [
        ("stage2.lr=3e-5", ("stage2", "lr"), 3e-5),
        ("stage1.steps=7", ("stage1", "steps"), 7),
        ("data.horizontal_flip=true", ("data", "horizontal_flip"), True),
        ("sampling.sampler=ddim", ("sampling", "sampler"), Sampler.DDIM),
        ('sampling.sampler="ddim"', ("sampling", "sampler"), Sampler.DDIM),
        ("data.source=none", ("data", "source"), None),
        ("foundation.clap=owner/model@v1", ("foundation", "clap"), "owner/model@v1"),
        (" stage1.steps = 7 ", ("stage1", "steps"), 7),
    ],
)
def test_an_override_is_read_as_its_kind(item: str, place: tuple[str, str], expected: Any) -> None:
    """Catches: numbers taken for text, text that must be quoted twice on a command line."""
    profile = load_profile("tiny", overrides=[item])
    assert getattr(getattr(profile, place[0]), place[1]) == expected


def test_the_last_of_two_overrides_counts() -> None:
    """Catches: an order that depends on anything but the command line."""
    profile = load_profile("tiny", overrides=["stage1.steps=3", "stage1.steps=5"])
    assert profile.stage1.steps == 5


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("stage2.lrr=1", r"unknown setting 'stage2\.lrr'.*did you mean 'lr'"),
        ("stagee2.lr=1", r"unknown setting 'stagee2'.*did you mean 'stage2'"),
        ("data.log_mel.num_mel=3", r"unknown setting .*did you mean 'num_mels'"),
        ("stage1.lr=0", r"'stage1\.lr' cannot be 0.*greater than 0"),
        ("stage1.lr=nan", r"'stage1\.lr' cannot be nan"),
        ("training.grad_clip=inf", r"'training\.grad_clip' cannot be inf"),
        ("data.log_mel.std=inf", r"'data\.log_mel\.std' cannot be inf"),
        ("stage1.steps=many", r"'stage1\.steps' cannot be 'many'"),
        ("stage1.steps=", r"'stage1\.steps' cannot be ''"),
        ("training.text_dropout=1", r"'training\.text_dropout' cannot be 1"),
        ("sampling.sampler=euler", r"'sampling\.sampler' cannot be 'euler'"),
        ("scorers.image_judge=none", "go together"),
        ("stage1.steps", "takes KEY=VALUE"),
        ("=3", "takes KEY=VALUE"),
        ("stage1..steps=3", "takes KEY=VALUE"),
        ("stage1.lr.x=3", "'lr' is a value, not a table|cannot be"),
        ("stage1=3", "'stage1' cannot be 3"),
        ("variant.hidden_dim=3", "needs one variant"),
        ("stage1.steps=true", r"'stage1\.steps' cannot be True: expected a whole number"),
        ("stage1.lr=true", r"'stage1\.lr' cannot be True: expected a number"),
        ('stage1.steps="5"', r"'stage1\.steps' cannot be '5': expected a whole number"),
        ("data.log_mel.num_mels=false", r"'data\.log_mel\.num_mels' cannot be False"),
        ("data.explicit_weights.rain=true", r"'data\.explicit_weights\.rain' cannot be True"),
        ("data.horizontal_flip=1", r"'data\.horizontal_flip' cannot be 1: expected true or false"),
        ("data.horizontal_flip=yes", "expected true or false"),
        ("stage1.lr=1e-4#x", r"'stage1\.lr' cannot be '1e-4#x'"),
        ("stage1.steps=3, 4", r"'stage1\.steps' cannot be '3, 4'"),
        ("stage1.steps=1.5", r"'stage1\.steps' cannot be 1\.5"),
        ("stage1.lr=1e300", r"'stage1\.lr' cannot be 1e\+300: .* the largest float32"),
        ("sampling.text_guidance=1e308", "the largest float32"),
        (f"stage1.steps={10**22}", "at most 9,007,199,254,740,992"),
        (f"training.micro_batch={10**20}", r"'training\.micro_batch' cannot be"),
        ("training.micro_batch=10000000000", r"'training\.micro_batch' cannot be .*65536"),
        ("training.num_threads=100000", r"'training\.num_threads' cannot be"),
        ("data.window_s=1e9", r"'data\.window_s' cannot be .* 600"),
        ("data.window_s=1e-9", r"'data\.window_s' cannot be .* 0\.5"),
        ("sampling.steps=1001", r"'sampling\.steps' cannot be 1001: .* 1000"),
    ],
)
def test_a_mistake_in_an_override_is_one_sentence(item: str, message: str) -> None:
    """Catches: an unknown key that nothing reads, a value out of range, a traceback."""
    with pytest.raises(UsageError, match=message):
        load_profile("tiny", overrides=[item])


def test_any_whole_number_may_be_a_seed() -> None:
    """Catches: a seed refused with the numbers that are too large to count with."""
    overrides = [f"data.split_seed={10**30}", "data.corpus_seed=-7"]
    data = load_profile("tiny", overrides=overrides).data
    assert (data.split_seed, data.corpus_seed) == (10**30, -7)


def test_a_variant_key_goes_to_the_variant_that_runs() -> None:
    """Catches: `variant.x` kept under a name that nothing reads."""
    plain = load_profile("tiny")
    profile = load_profile("tiny", overrides=["variant.hidden_dim=32"], variant="sonic")
    sonic = {**plain.variants["sonic"], "hidden_dim": 32}
    assert profile.variants == {**plain.variants, "sonic": sonic}
    config = parse_settings(SONIC.Config, profile.variants["sonic"], what="setting of sonic:")
    assert config.model_dump()["hidden_dim"] == 32
    with pytest.raises(UsageError, match="at most 9,007"):
        parse_settings(SONIC.Config, {"hidden_dim": 10**20}, what="setting of sonic:")
    with pytest.raises(UsageError, match="did you mean 'hidden_dim'"):
        parse_settings(SONIC.Config, {"hiden_dim": 3}, what="setting of sonic:")


def test_a_setting_that_another_choice_leaves_unread_is_named_and_can_be_unset() -> None:
    """Catches: a sentence that prints every setting; a profile's value that nothing takes back."""
    overrides = ["variant.projector=paper"]
    values = load_profile("tiny", overrides=overrides, variant="sonic").variants["sonic"]
    told = "^setting of sonic: hidden_dim is not read by projector paper; remove it or set it to"
    with pytest.raises(UsageError, match=told):
        parse_settings(SONIC.Config, values, what="setting of sonic:")
    overrides.append("variant.hidden_dim=none")
    values = load_profile("tiny", overrides=overrides, variant="sonic").variants["sonic"]
    assert parse_settings(SONIC.Config, values, what="setting of sonic:").hidden_dim is None


def test_an_unknown_profile_suggests_the_closest() -> None:
    """Catches: a traceback, or the default profile taken instead."""
    with pytest.raises(UsageError, match=r"known: sd15, tiny; did you mean 'tiny'\?"):
        load_profile("tinny")


def test_a_profile_may_be_a_file_of_differences(tmp_path: Path) -> None:
    """Catches: a user's own profile that cannot live outside the package."""
    path = tmp_path / "mine.toml"
    path.write_text("[stage1]\nsteps = 9\n[variants.sonic]\nhidden_dim = 16\n")
    profile = load_profile(str(path), overrides=["stage2.steps=4"])
    assert (profile.stage1.steps, profile.stage2.steps) == (9, 4)
    assert profile.variants == {"sonic": {"hidden_dim": 16}}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_profile_from_a_windows_editor_is_read(tmp_path: Path, encoding: str) -> None:
    """Catches: a byte order mark that makes a good profile invalid TOML."""
    path = tmp_path / "mine.toml"
    path.write_text("[stage1]\nsteps = 9\n", encoding=encoding)
    assert load_profile(str(path)).stage1.steps == 9


@pytest.mark.parametrize("content", [b"[stage1\n", b"steps = \xff", b"a = 1\na = 2\n"])
def test_a_broken_profile_file_is_a_sentence(tmp_path: Path, content: bytes) -> None:
    """Catches: a traceback for a typing mistake in TOML."""
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"mine\.toml is not"):
        load_profile(str(path))
    with pytest.raises(UsageError, match="no profile file"):
        load_profile(str(tmp_path / "absent.toml"))


def test_explicit_class_weights_go_with_their_rule() -> None:
    """Catches: typed weights that are ignored because the rule is another."""
    items = ["data.class_weights=explicit", "data.explicit_weights.rain=1.93"]
    assert load_profile("tiny", overrides=items).data.explicit_weights == {"rain": 1.93}
    for item in items:
        with pytest.raises(UsageError, match="give both or neither") as error:
            load_profile("tiny", overrides=[item])
        assert "'log_mel'" not in str(error.value)  # not the whole table of settings


def test_the_shipped_encoder_hears_what_tiny_gives_it() -> None:
    """Catches: a spectrogram setting of the profile that the pretrained encoder never saw."""
    profile = load_profile("tiny")
    assert profile.data.log_mel == mamba.LOG_MEL
    settings = profile.variants["cutting_edge"]
    config = find_variant("cutting_edge").load().Config(**settings)
    log_mel = (profile.data.log_mel.num_mels, profile.data.log_mel.num_frames)
    assert config.encoder(log_mel=log_mel) == mamba.config()
    assert config.pretrained == "embedded:mamba_encoder"
