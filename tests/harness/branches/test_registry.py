"""Finding variants in folders and entry points, one broken one harming no other."""

import signal
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from core.code import code_hash
from core.errors import UsageError
from harness.branches import registry
from harness.branches.describe import describe_variants
from harness.branches.registry import ENTRY_POINT_GROUP, find_variant, registrations

SHIPPED = ["baseline", "class_embedding", "cutting_edge", "sonic", "text_only"]
PLUGIN = """
from variants.baseline import VARIANT as BASELINE

class Mine(BASELINE):
    name = "{name}"
    summary = "a plug-in"
    def __init__(self, config, *, shapes):
        {body}
        super().__init__(config, shapes=shapes)
"""


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Installs modules as entry points: name -> source of the module `plugin_<name>`."""
    points: list[EntryPoint] = []
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry, "entry_points", lambda group: points)

    def install(name: str, source: str, *, attribute: str = "Mine") -> Path:
        path = tmp_path / f"plugin_{name}.py"
        path.write_text(source)
        monkeypatch.delitem(sys.modules, path.stem, raising=False)
        points.append(EntryPoint(name, f"{path.stem}:{attribute}", ENTRY_POINT_GROUP))
        return path

    return install


def test_the_shipped_branches_are_found_in_their_folders() -> None:
    """Catches: a folder under variants/ that has to be listed anywhere else."""
    found = registrations()
    assert list(found) == SHIPPED
    assert {name: found[name].load().name for name in found} == {name: name for name in SHIPPED}


def test_an_unknown_variant_suggests_the_closest() -> None:
    """Catches: a KeyError for a typing mistake."""
    message = f"no variant named 'sonik'; known: {', '.join(SHIPPED)}; did you mean 'sonic'"
    with pytest.raises(UsageError, match=message):
        find_variant("sonik")


def test_an_entry_point_of_another_package_is_a_variant_like_any(plug_in) -> None:
    """Catches: an inventor who has to change this repository."""
    path = plug_in("mine", PLUGIN.format(name="mine", body="pass"))
    found = find_variant("mine")
    assert found.load().summary == "a plug-in"
    # Its code is its own file, not the folder of everything that is installed.
    assert found.sources == path
    before = code_hash([found.sources])
    (path.parent / "neighbour.py").write_text("x = 1")
    assert code_hash([found.sources]) == before
    path.write_text(path.read_text() + "\n# changed\n")
    assert code_hash([found.sources]) != before


def test_two_variants_of_one_name_are_refused_with_both_places(plug_in) -> None:
    """Catches: a plug-in that silently replaces a shipped branch."""
    plug_in("sonic", PLUGIN.format(name="sonic", body="pass"))
    told = r"variants\.sonic and plugin_sonic; rename one"
    with pytest.raises(UsageError, match=told):
        find_variant("sonic").load()
    with pytest.raises(UsageError, match=told):
        _ = find_variant("sonic").sources
    # The other branches work on: a stranger's package must not block every command.
    assert find_variant("baseline").load().name == "baseline"
    assert list(registrations()) == sorted(SHIPPED)


def test_a_signal_while_a_plug_in_is_imported_stops_the_command(
    plug_in, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: Ctrl-C taken for a fault of the plug-in, so that the command goes on."""
    plug_in("bad", "raise KeyboardInterrupt")
    monkeypatch.setattr(signal, "getsignal", lambda number: signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt):
        find_variant("bad").load()
    monkeypatch.setattr(signal, "getsignal", lambda number: print)
    with pytest.raises(UsageError, match="KeyboardInterrupt"):
        find_variant("bad").load()
    plug_in("worse", "from core.errors import StoppedBySignal; raise StoppedBySignal(130)")
    with pytest.raises(SystemExit):
        find_variant("worse").load()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import a_module_that_is_not_there", "ModuleNotFoundError: .*a_module_that_is_not_there"),
        ("def broken(:", "SyntaxError"),
        ("Mine = 3", "expected a subclass"),
        ("x = 1", "AttributeError"),
        ("import sys; sys.exit(3)", "SystemExit"),
        (PLUGIN.format(name="other", body="pass"), "calls itself 'other'"),
        (PLUGIN.format(name="bad", body="raise RuntimeError('no luck')"), "no luck"),
    ],
    ids=["import", "syntax", "kind", "attribute", "exit", "name", "constructor"],
)
def test_a_broken_variant_fails_alone_with_its_own_error(
    plug_in, source: str, message: str
) -> None:
    """Catches: one broken plug-in that takes `harness list` and every branch with it."""
    plug_in("bad", source)
    described = {variant.name: variant for variant in describe_variants("tiny")}
    assert sorted(described) == sorted([*SHIPPED, "bad"])
    assert all(described[name].error is None for name in SHIPPED)
    assert described["bad"].error is not None
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(described["bad"].error)


def test_what_a_plug_in_prints_goes_to_standard_error(plug_in, capsys) -> None:
    """Catches: a greeting of a package within the one object of `--json`."""
    plug_in("noisy", "print('hello from a package'); Mine = 3")
    with pytest.raises(UsageError, match="expected a subclass"):
        find_variant("noisy").load()
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "hello from a package\n")


WITHOUT_TORCH = """
import sys
from harness.branches.registry import find_variant, registrations

for name in registrations():
    assert find_variant(name).load_config().__name__.endswith("Config")
print(sorted({"torch", "diffusers", "transformers", "peft"} & set(sys.modules)))
"""


def test_settings_of_the_shipped_branches_load_without_torch() -> None:
    """Catches: planning a run that imports every module of its branch to read ten defaults."""
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_settings_are_those_of_the_variant_whether_or_not_they_stand_apart(plug_in) -> None:
    """Catches: a plug-in in one module that no longer runs, or settings of another class."""
    plug_in("mine", PLUGIN.format(name="mine", body="pass"))
    assert find_variant("mine").load_config() is find_variant("mine").load().Config
    for name in SHIPPED:
        assert find_variant(name).load_config() is find_variant(name).load().Config


def test_a_package_may_tell_its_settings_before_its_modules(plug_in) -> None:
    """Catches: a light `CONFIG` that is read only inside this repository."""
    plug_in(
        "apart",
        "from core.conditioning.config import VariantConfig\n"
        "class CONFIG(VariantConfig): pass\n"
        "def __getattr__(name): raise AttributeError(f'{name} was asked for')\n",
        attribute="VARIANT",
    )
    assert find_variant("apart").load_config().__name__ == "CONFIG"
    with pytest.raises(UsageError, match="VARIANT was asked for"):
        find_variant("apart").load()


def test_settings_that_are_not_the_variants_are_refused(plug_in) -> None:
    """Catches: a run that is planned by one class of settings and built by another."""
    source = PLUGIN.format(name="two", body="pass")
    other = (
        "from core.conditioning.config import VariantConfig\nclass CONFIG(VariantConfig): pass\n"
    )
    plug_in("two", f"{source}\nVARIANT = Mine\n{other}", attribute="VARIANT")
    with pytest.raises(UsageError, match="settings of Mine are BaselineConfig; set CONFIG to"):
        find_variant("two").load()
