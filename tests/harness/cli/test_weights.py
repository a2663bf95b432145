"""`harness weights`: what is needed, and fetching it from a hub that runs in this process."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from typer.testing import CliRunner

from core.errors import MismatchError, MissingWeightsError, UsageError
from core.foundation.catalogue import ReleasedFile
from core.foundation.layout import CLIP
from core.foundation.sources import resolve_source
from harness.cli.main import app
from harness.settings import fetch as fetching
from harness.settings.load import load_profile
from harness.settings.weights import needed_models, verified

COMMIT = "c" * 40
CLIP_REPO = "openai/clip-vit-base-patch32"
FILES = {
    CLIP_REPO: {
        "config.json": b"{}",
        "merges.txt": b"a b",
        "preprocessor_config.json": b'{"size": 224}',
        "pytorch_model.bin": b"pickled weights",
        "tf_model.h5": b"never read",
        "flax_model.msgpack": b"never read",
        "README.md": b"never read",
    },
    "owner/other": {
        "config.json": b"{}",
        "model.safetensors": b"weights",
        "pytorch_model.bin": b"the same again",
        "preprocessor_config.json": b'{"size": 256}',
    },
}


@dataclass
class Hub:
    """A hub on this machine, and what was asked of it."""

    url: str
    asked: list[str] = field(default_factory=list)

    @property
    def fetched(self) -> set[str]:
        """Files whose content went out."""
        return {path.rpartition("/")[2] for path in self.asked if path.startswith("GET /file/")}


@pytest.fixture
def hub() -> Iterator[Hub]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            """Say nothing."""

        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def answer(self) -> None:
            path = unquote(urlsplit(self.path).path)
            words = path.strip("/").split("/")
            if words[:2] == ["api", "models"]:
                repo, files = "/".join(words[2:4]), FILES.get("/".join(words[2:4]), {})
                listing = [
                    {"type": "file", "path": n, "size": len(c), "oid": sha1(c).hexdigest()}
                    for n, c in files.items()
                ]
                siblings = [{"rfilename": name} for name in files]
                info = {"id": repo, "sha": COMMIT, "siblings": siblings}
                known.asked.append(f"{self.command} {path}")
                self.send(json.dumps(listing if "tree" in words else info).encode(), {})
                return
            repo, name = "/".join(words[:2]), "/".join(words[4:])
            content = FILES.get(repo, {}).get(name)
            if content is None:
                self.send_error(404)
                return
            known.asked.append(f"{self.command} /file/{name}")
            is_large = name.endswith((".bin", ".safetensors", ".h5"))
            tag = (sha256(content) if is_large else sha1(content)).hexdigest()
            self.send(content, {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT})

        def send(self, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(200)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    known = Hub(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield known
    server.shutdown()
    thread.join()
    server.server_close()


def harness(*words: str, home: Path, hub: Hub | None = None) -> "subprocess.CompletedProcess[str]":
    """The command in a process of its own, with a hub cache of its own."""
    env = {**os.environ, "HF_HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)}
    if hub is not None:
        env |= {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
        env |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    command = [sys.executable, "-m", "harness", *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


OTHER_MODELS = (
    "--set", "foundation.stable_diffusion=embedded:stable_diffusion",
    "--set", "foundation.clap=embedded:clap",
)  # fmt: skip


def test_get_fetches_the_files_that_are_read_and_no_others(tmp_path: Path, hub: Hub) -> None:
    """Catches: 47 GB fetched where 4.3 are read; weights that a run then does not find."""
    words = ("weights", "get", *OTHER_MODELS, "--set", "scorers.dinov2=owner/other", "--json")
    done = harness(*words, home=tmp_path, hub=hub)
    assert done.returncode == 0, done.stderr
    rows = {row["role"]: row for row in json.loads(done.stdout)}
    assert hub.fetched == {
        "config.json", "merges.txt", "preprocessor_config.json", "pytorch_model.bin",
        "model.safetensors",
    }  # fmt: skip
    clip = rows["clip"]
    assert clip["commit"] == COMMIT
    assert Path(clip["found"]).name == COMMIT
    assert clip["bytes"] == sum(len(FILES[CLIP_REPO][name]) for name in clip["files"])
    assert (Path(rows["dinov2"]["found"]) / "model.safetensors").read_bytes() == b"weights"
    before = len(hub.asked)
    assert harness(*words, home=tmp_path, hub=hub).returncode == 0
    assert len(hub.asked) == before  # what is here is not asked for again
    shown = harness("weights", *OTHER_MODELS, "--verify", home=tmp_path)
    assert shown.returncode == 78  # these are not the published bytes
    assert "damaged or another file" in shown.stderr


def test_offline_is_kept_to(tmp_path: Path) -> None:
    """Catches: a fetch on a machine that was told to stay offline, or minutes of retries."""
    done = harness("weights", "get", home=tmp_path)
    assert done.returncode == 2
    assert "HF_HUB_OFFLINE is set" in done.stderr


def test_a_hub_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    """Catches: a traceback of the hub client."""
    gone = Hub("http://127.0.0.1:9")
    done = harness("weights", "get", *OTHER_MODELS, home=tmp_path, hub=gone)
    assert done.returncode == 66, done.stderr
    assert "cannot fetch 'openai/clip-vit-base-patch32'" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_model_is_listed_with_its_command_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: one missing model told at a time; a scorer without an address."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["weights", "--scorers", "all", "--json"])
    assert result.exit_code == 0
    rows = json.loads(result.stdout)
    assert [row["role"] for row in rows] == [
        "stable_diffusion", "clap", "clip", "inception", "lpips", "wav2clip", "sound", "picture",
        "dinov2",
    ]  # fmt: skip
    for row in rows:
        assert {"role", "source", "commit", "files", "bytes", "found", "licence", "command"} <= {
            *row
        }
        assert row["found"] is None
        assert row["licence"]
        assert row["files"]
    by_role = {row["role"]: row for row in rows}
    sd = by_role["stable_diffusion"]
    assert 4.2e9 < sd["bytes"] < 4.3e9
    assert "--include model_index.json 'scheduler/*' 'tokenizer/*' '*/config.json'" in sd["command"]
    assert "pytorch_model.bin" in by_role["clap"]["command"]
    assert by_role["wav2clip"]["command"].startswith("curl -L")
    assert by_role["lpips"]["command"].count("curl") == 2
    plain = CliRunner().invoke(app, ["weights", "--scorers", "all"]).stdout
    for row in rows:
        assert row["command"] in plain


def test_the_models_of_tiny_are_all_here() -> None:
    """Catches: a shipped model that is listed as missing."""
    for model in needed_models(load_profile("tiny")):
        assert verified(model).problem is None
        assert model.found is not None
        assert model.command is None
    with pytest.raises(UsageError, match="did you mean 'wav2clip'"):
        needed_models(load_profile("tiny"), scorers=["wav2clop"])


def test_released_files_are_kept_only_if_they_are_the_published_ones(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a server's error page kept as weights."""
    url = f"{hub.url}/owner/other/resolve/main/model.safetensors"
    content = sha256(b"weights").hexdigest()
    folder = tmp_path / "inception"
    for digest, error in (("0" * 64, MismatchError), (content, None)):
        file = ReleasedFile(
            name="weights.pth", url=url, num_bytes=None, sha256=digest, licence="MIT"
        )
        if error is None:
            fetching._fetch_file(file, folder=folder)
        else:
            with pytest.raises(error, match="was not kept"):
                fetching._fetch_file(file, folder=folder)
            assert not list(folder.iterdir())
    assert [path.name for path in folder.iterdir()] == ["weights.pth"]
    absent = ReleasedFile(
        name="none.pth",
        url=f"{hub.url}/owner/other/resolve/main/none",
        num_bytes=None,
        sha256="",
        licence="MIT",
    )
    with pytest.raises(MissingWeightsError, match="404"):
        fetching._fetch_file(absent, folder=folder)


def test_a_damaged_file_of_the_cache_is_found_by_reading_it(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: --verify that trusts the name a file has in the cache."""
    from huggingface_hub import constants

    assert harness("weights", "get", *OTHER_MODELS, home=tmp_path, hub=hub).returncode == 0
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    profile = load_profile("tiny", overrides=[f"scorers.clip={CLIP_REPO}@{COMMIT}"])
    (model,) = (m for m in needed_models(profile) if m.role == "clip")
    blob = (resolve_source(model.source).folder / "pytorch_model.bin").resolve()
    before = resolve_source(model.source).fingerprint(CLIP)
    blob.write_bytes(b"pickled w3ights")
    assert resolve_source(model.source).fingerprint(CLIP) == before
    assert "damaged or another file" in str(verified(model).problem)


def test_the_readme_gives_the_same_commands() -> None:
    """Catches: a README that still fetches whole repositories, or files that moved."""
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    for model in needed_models(load_profile("sd15")):
        assert str(model.command) in readme
