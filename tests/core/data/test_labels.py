"""Label maps: exact, explicit, one meaning a label."""

import pytest

from core.data.labels import load_label_map, shipped_label_maps
from core.errors import DataError, UsageError

CLASSES = {
    "dog_barking", "engine", "fire", "helicopter", "ocean_waves", "rain", "siren", "thunder",
}  # fmt: skip


def test_rain_never_catches_train_horning():
    """Catches: labels by substring, which put trains among the rain and racing cars into fire."""
    labels = load_label_map("vggsound")
    assert labels.class_of("raining") == "rain"
    for other in (
        "train horning", "train whistling", "railroad car, train wagon", "driving motorcycle",
        "firing cannon", "fireworks banging", "smoke detector beeping", "Raining", "raining ",
    ):  # fmt: skip
        assert labels.class_of(other) is None, other


def test_the_shipped_map_names_the_eight_classes():
    """Catches: a class without a label, or one that lost its own name."""
    labels = load_label_map("vggsound")
    assert shipped_label_maps() == ["vggsound"]
    assert set(labels.classes) == CLASSES
    assert all(labels.class_of(name) == name for name in CLASSES)
    assert labels.class_of("police car (siren)") == "siren"
    assert labels.class_of("engine accelerating, revving, vroom") == "engine"
    assert labels.class_of("sea waves") == labels.class_of("ocean burbling") == "ocean_waves"


def test_an_unmapped_label_is_reported_with_the_closest_one():
    """Catches: a typing error that costs a class its clips without a hint."""
    told = load_label_map("vggsound").why_unmapped("ambulence siren")
    assert "'ambulence siren' is not in the label map vggsound" in told
    assert "did you mean 'ambulance siren'" in told
    assert "mean '" not in load_label_map("vggsound").why_unmapped("train horning")


def test_a_map_of_ones_own_is_read(tmp_path):
    """Catches: only the shipped map working."""
    path = tmp_path / "mine.toml"
    path.write_text('[classes]\nrain = ["Regen", "drizzle"]\nwind = []\n')
    labels = load_label_map(str(path))
    assert [labels.class_of(name) for name in ("Regen", "drizzle", "wind", "raining")] == [
        "rain", "rain", "wind", None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[classes]\nrain = ["a"]\nfire = ["a"]\n', "lists 'a' under fire, but it means rain"),
        ('[classes]\nrain = ["fire"]\nfire = []\n', "lists 'fire' under rain, but it means fire"),
        ('[classes]\nrain = "raining"\n', "gives rain the value 'raining'"),
        ('[classes]\n[labels]\nrain = ["a"]\n', "holds classes, labels"),
        ("", "holds nothing"),
        ("rain = [", "not valid TOML"),
    ],
)
def test_a_map_that_is_none_is_refused(tmp_path, text, sentence):
    """Catches: the last of two meanings winning, or a table nothing reads."""
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(DataError, match=sentence):
        load_label_map(str(path))


def test_an_unknown_map_is_named(tmp_path):
    """Catches: a traceback, or going on without a map."""
    with pytest.raises(UsageError, match=r"known: vggsound.*did you mean 'vggsound'"):
        load_label_map("vgsound")
    with pytest.raises(UsageError, match="cannot be read"):
        load_label_map(str(tmp_path / "none.toml"))
