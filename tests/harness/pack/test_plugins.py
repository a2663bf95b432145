"""Packages of others go along with a pack, or are refused by name before anything is paid."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import pytest

from core.code import code_hash
from core.errors import DataError, HarnessError, MismatchError, UsageError
from harness.pack import distribution as distribution_module
from harness.pack.contents import DataMode
from harness.pack.distribution import Carried, carried
from harness.pack.pack import PackRequest, make_pack
from harness.pack.plugins import packed_plugins
from harness.pack.unpack import unpack
from harness.records.record import load_record
from harness.run.plan import RunRequest
from harness.wording.display import Display

MakeRequest = Callable[..., RunRequest]
Install = Callable[..., Distribution]
EXAMPLES = Path(__file__).parents[3] / "examples"
PROJECT = (
    '[build-system]\nrequires = ["setuptools>=77"]\n'
    '[project]\nname = "lamp"\nversion = "1.0"\ndependencies = ["branch-harness"]\n'
)
MODULES = {"audio_token", "hpss_separator", "lamp"}


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Leaves a package on the path as pip leaves it; `origin` is its direct_url.json."""
    before = set(sys.modules)
    site = tmp_path / "site"

    def install(
        name: str,
        *,
        origin: dict[str, Any] | None = None,
        points: str = "",
        code: dict[str, str] | None = None,
        path: Path | None = None,
        requires: str = "",
        has_record: bool = True,
    ) -> Distribution:
        own = site / name
        info = own / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        needed = f"Requires-Dist: {requires}\n" if requires else ""
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needed}"
        )
        (info / "entry_points.txt").write_text(points)
        if origin is not None:
            (info / "direct_url.json").write_text(json.dumps(origin))
        rows = []
        for file, text in (code or {}).items():
            place = own / file
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
            rows.append(f"{file},sha256={digest.rstrip(b'=').decode()},{len(text)}\n")
        if has_record:
            (info / "RECORD").write_text("".join(rows))
        for folder in (own, path):
            if folder is not None:
                monkeypatch.syspath_prepend(str(folder))
        return Distribution.at(info)

    yield install
    for module in set(sys.modules) - before:
        if module.split(".")[0] in MODULES:
            del sys.modules[module]


def lamp(tmp_path: Path, *, project: str = PROJECT) -> Path:
    """A source folder with what goes along and what does not."""
    folder = tmp_path / "lamp folder"
    for name, content in {
        "pyproject.toml": project,
        "lamp/__init__.py": "VALUE = 1\n",
        "lamp/table.csv": "1,2\n",
        "lamp/__pycache__/x.pyc": "no",
        ".git/config": "no",
        ".env": "password",
        "build/lib/lamp/__init__.py": "no",
        "lamp.egg-info/PKG-INFO": "no",
        "my-env/pyvenv.cfg": "no",
        "my-env/lib/a.py": "no",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def of_folder(folder: Path, *, editable: bool = True) -> dict[str, Any]:
    """What pip notes of `pip install FOLDER`."""
    return {"url": folder.as_uri(), "dir_info": {"editable": True} if editable else {}}


def names(held: Carried) -> list[str]:
    return sorted(member.name for member in held.members)


def editable_example(installed: Install, tmp_path: Path, *, example: str, group: str) -> Path:
    """A copy of an example that is installed as editable."""
    folder = tmp_path / "mine" / example
    shutil.copytree(EXAMPLES / example, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (point,) = [
        line
        for line in (folder / "pyproject.toml").read_text().splitlines()
        if line.endswith((':VARIANT"', ':SEPARATOR"'))
    ]
    name, target = (part.strip(' "') for part in point.split("="))
    points = f"[branch_harness.{group}]\n{name} = {target}\n"
    installed(example.replace("_", "-"), origin=of_folder(folder), points=points, path=folder)
    return folder


def test_a_branch_and_a_separator_of_other_packages_go_along_and_work_there(
    installed: Install, small_request: MakeRequest, tmp_path: Path
) -> None:
    """Catches: a machine that is paid for and says that no variant or separator has that name."""
    branch = editable_example(installed, tmp_path, example="audio_token", group="variants")
    editable_example(installed, tmp_path, example="separator", group="separators")
    request = small_request(
        "foundation.separator=hpss", variant="audio_token", results=tmp_path / "results"
    )
    made = make_pack(
        PackRequest(
            words=tuple(request.words[1:]), runs=(), results=request.results, data=DataMode.MEDIA
        ),
        out=tmp_path / "box.tar",
        display=Display(),
    )
    facts = {plugin.name: plugin for plugin in made.facts.plugins}
    assert facts["audio-token"].brings == ["branch audio_token"]
    assert facts["separator"].brings == ["separator hpss"]
    assert not any("another package" in notice for notice in made.facts.notices)
    here = str(tmp_path).encode()
    box = tmp_path / "there" / "box"
    unpack(made.path, box, is_checked=True)
    assert not [f for f in ("pack.json", "continue.sh") if here in (box / f).read_bytes()]

    # A Python that notes what pip is asked for, and then has the files of the pack alone.
    points = tmp_path / "there" / "points"
    for info in (tmp_path / "site").glob("*/*.dist-info"):
        shutil.copytree(info, points / info.name)
    paths = [points, box / "project", *(box / "plugins").iterdir()]
    python = tmp_path / "there" / "python"
    python.write_text(
        f"""#!/bin/sh
case "$*" in
  "-m venv "*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python"
    printf '#!/bin/sh\\nexec "%s" run "$@"\\n' "$0" > "$3/bin/harness"
    chmod +x "$3/bin/harness" ;;
  "-m pip "*) printf '%s\\n' "$@" > "{tmp_path}/asked" ;;
  run*) shift
    PYTHONPATH="{os.pathsep.join(map(str, paths))}" exec {sys.executable} -m harness "$@" ;;
esac
"""
    )
    python.chmod(0o755)
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "HARNESS")}
    said = subprocess.run(
        ["sh", str(box / "continue.sh")],
        env={**environment, "PYTHON": str(python)},
        cwd=tmp_path / "there",
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert said.returncode == 0, said.stderr
    asked = (tmp_path / "asked").read_text().splitlines()
    wanted = ["-e", str(box / "plugins/audio-token"), "-e", str(box / "plugins/separator")]
    assert asked[asked.index(f"{box}/project[train]") + 1 :] == wanted
    (folder,) = (box / "work" / "results" / "runs").iterdir()
    record = load_record(folder)
    assert record.identity.code["variant"] == code_hash([branch / "audio_token"])
    assert record.identity.settings["foundation"]["separator"] == "hpss"


def test_a_folder_goes_along_without_caches_secrets_and_environments(
    installed: Install, tmp_path: Path
) -> None:
    """Catches: gigabytes of an environment or a password in a pack, a table that stays here."""
    folder = lamp(tmp_path)
    held = carried(installed("lamp", origin=of_folder(folder)))
    assert names(held) == [
        f"plugins/lamp/{name}" for name in ("lamp/__init__.py", "lamp/table.csv", "pyproject.toml")
    ]
    assert held.install == ("-e", "plugins/lamp")


def test_what_was_copied_from_a_folder_must_still_be_what_is_there(
    installed: Install, tmp_path: Path
) -> None:
    """Catches: another code there than the one that ran here."""
    folder = lamp(tmp_path)
    origin = of_folder(folder, editable=False)
    found = installed("lamp", origin=origin, code={"lamp/__init__.py": "VALUE = 1\n"})
    assert carried(found).install == ("plugins/lamp",)
    (folder / "lamp" / "__init__.py").write_text("VALUE = 2\n")
    with pytest.raises(MismatchError, match=r"lamp/__init__\.py of the package lamp 1\.0"):
        carried(found)


def test_what_came_from_an_index_is_named_with_its_version(
    installed: Install, tmp_path: Path
) -> None:
    """Catches: any version of it there, or the index's in the place of a file edited here."""
    found = installed("lamp", code={"lamp/__init__.py": "VALUE = 1\n"})
    assert carried(found) == Carried(("lamp==1.0",))
    (tmp_path / "site" / "lamp" / "lamp" / "__init__.py").write_text("VALUE = 2\n")
    with pytest.raises(MismatchError, match="changed after it was installed"):
        carried(found)


def test_addresses_and_wheels_are_held_to_what_was_installed(
    installed: Install, tmp_path: Path
) -> None:
    """Catches: the newest commit there, a wheel that was built anew, a password in a script."""
    commit = {"vcs": "git", "commit_id": "c0ffee"}
    git = installed("lamp", origin={"url": "https://h.org/lamp", "vcs_info": commit})
    assert carried(git).install == ("lamp @ git+https://h.org/lamp@c0ffee",)
    secret = installed("lamp2", origin={"url": "https://me:pw@h.org/lamp", "vcs_info": commit})
    with pytest.raises(UsageError, match="a user or a password") as refused:
        carried(secret)
    assert "pw" not in str(refused.value).replace("password", "")
    wheel = tmp_path / "lamp-1.0-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    digest = hashlib.sha256(b"wheel").hexdigest()
    archive = {"url": wheel.as_uri(), "archive_info": {"hashes": {"sha256": digest}}}
    found = installed("lamp3", origin=archive)
    assert carried(found).install == ("plugins/lamp-1.0-py3-none-any.whl",)
    wheel.write_bytes(b"other")
    with pytest.raises(UsageError, match="no longer there or has changed"):
        carried(found)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: shutil.rmtree(folder), "is no longer there"),
        (lambda folder: (folder / "pyproject.toml").unlink(), "has no pyproject.toml"),
        (lambda folder: (folder / "pyproject.toml").write_text("= ="), "cannot be read"),
        (
            lambda folder: (folder / "pyproject.toml").write_text(
                '[build-system]\nrequires = ["setuptools_scm>=8"]\n[project]\nname = "lamp"\n'
                'dynamic = ["version"]\n'
            ),
            "takes its version from its history by setuptools_scm",
        ),
        (
            lambda folder: (folder / "lamp" / "data.bin").write_bytes(bytes(4000)),
            r"may hold 1 kB: lamp/data\.bin \(4 kB\)",
        ),
    ],
)
def test_a_folder_that_cannot_go_along_is_refused_here(
    spoil: Callable[[Path], object],
    message: str,
    installed: Install,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Catches: an install that ends over there, where it is paid for."""
    monkeypatch.setattr(distribution_module, "MAX_BYTES", 1000)
    folder = lamp(tmp_path)
    found = installed("lamp", origin=of_folder(folder))
    carried(found)
    spoil(folder)
    with pytest.raises(HarnessError, match=message) as refused:
        carried(found)
    assert "lamp" in str(refused.value)


def test_a_package_that_pip_does_not_know_is_refused(installed: Install, tmp_path: Path) -> None:
    """Catches: a name that some index gives to another's package."""
    with pytest.raises(UsageError, match="not installed by pip"):
        carried(installed("lamp", has_record=False))
    damaged = installed("lamp2", origin={})
    (tmp_path / "site/lamp2/lamp2-1.0.dist-info/direct_url.json").write_text("[")
    with pytest.raises(DataError, match="damaged"):
        carried(damaged)


def test_code_outside_of_what_goes_along_is_refused(installed: Install, tmp_path: Path) -> None:
    """Catches: a module that is left out as a build's output, or lies beside the folder."""
    folder = tmp_path / "mine"
    shutil.copytree(EXAMPLES / "audio_token", folder)
    (folder / "audio_token").rename(tmp_path / "audio_token")
    points = "[branch_harness.variants]\naudio_token = audio_token:VARIANT\n"
    installed("audio-token", origin=of_folder(folder), points=points, path=tmp_path)
    left = tmp_path / "audio_token.egg-info"  # by a build, and first on the path
    left.mkdir()
    (left / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: audio-token\nVersion: 1.0\n")
    (left / "entry_points.txt").write_text(points)
    with pytest.raises(UsageError, match="is code of audio-token but would not go along"):
        packed_plugins(branches=["baseline", "audio_token"], commands=[])


def test_what_a_plug_in_requires_of_this_machine_goes_along(
    installed: Install, tmp_path: Path
) -> None:
    """Catches: a package that only this machine has, looked for by its name in an index."""
    folder = lamp(tmp_path)
    installed("lamp", origin=of_folder(folder))
    installed("from-index", code={})
    branch = tmp_path / "mine"
    shutil.copytree(EXAMPLES / "audio_token", branch)
    installed(
        "audio-token",
        origin=of_folder(branch),
        points="[branch_harness.variants]\naudio_token = audio_token:VARIANT\n",
        path=branch,
        requires="Lamp>=1\nRequires-Dist: from-index; python_version > '3'\nRequires-Dist: absent",
    )
    found = packed_plugins(branches=["audio_token"], commands=[])
    assert [plugin.name for plugin in found.facts] == ["audio-token", "lamp"]
    assert found.facts[1].brings == ["required by audio-token"]
    assert packed_plugins(branches=["baseline"], commands=[]).facts == ()


def test_every_metric_goes_along_for_it_is_part_of_what_a_run_is(
    installed: Install, tmp_path: Path
) -> None:
    """Catches: a half-finished run that begins anew there, for the metrics are others."""
    folder = lamp(tmp_path)
    shutil.rmtree(folder / "lamp.egg-info")
    page = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text()
    example = page.split("```python\n")[1].split("```")[0]
    (folder / "lamp" / "metrics.py").write_text(example)
    points = "[branch_harness.metrics]\nlit = lamp.metrics:METRICS\n"
    installed("lamp", origin=of_folder(folder), points=points, path=folder)
    (plugin,) = packed_plugins(branches=["baseline"], commands=[]).facts
    assert plugin.brings == ["metrics lit"]
    (folder / "lamp" / "metrics.py").write_text("METRICS = []\n")
    del sys.modules["lamp.metrics"]
    sys.path.append(str(tmp_path))  # what was found is remembered by the path
    try:
        with pytest.raises(UsageError, match="metrics 'lit'"):
            packed_plugins(branches=["baseline"], commands=[])
    finally:
        sys.path.remove(str(tmp_path))
