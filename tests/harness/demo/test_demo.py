"""The demo: limits, who may reach it, and a sound answered in a real browser."""

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from core.errors import DataError, HarnessError, UsageError
from harness.cli.main import app
from harness.demo.answers import answers_html
from harness.demo.page import require_safe
from harness.demo.respond import Limits, Responder, Shown


@pytest.fixture(scope="module")
def tone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of a tone."""
    path = tmp_path_factory.mktemp("demo") / "tone.wav"
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 300 * np.arange(48_000) / 48_000), 48_000)
    return path


@pytest.fixture(scope="module")
def responder(finished: Any) -> Responder:
    """The session's run under two names."""
    runs = {"one": finished.folder, "two": finished.folder}
    return Responder(runs, window_s=3.0, device="cpu", limits=Limits(max_bytes=200_000))


def test_branches_answer_side_by_side_from_the_same_noise(responder: Responder, tone: Path) -> None:
    """Catches: images out of order, or noise that differs by branch."""
    shown, heard = responder.respond(tone, text="", audio_scale=1.0, num_seeds=2)
    assert [one.words for one in shown] == [
        "one, noise 0", "two, noise 0", "one, noise 1", "two, noise 1",
    ]  # fmt: skip
    np.testing.assert_array_equal(shown[0].pixels_HWC, shown[1].pixels_HWC)
    assert (shown[0].pixels_HWC != shown[2].pixels_HWC).any()
    assert heard == "1.0 s of sound"


def test_what_a_branch_is_called_stays_text() -> None:
    """Catches: a name that becomes an element of the page."""
    pixels = np.zeros((4, 4, 3), dtype=np.uint8)
    html = answers_html([Shown(pixels, '<b>"x"</b>')], num_branches=1)
    assert "<b>" not in html
    assert "&lt;b&gt;&quot;x&quot;" in html
    assert html.count("data:image/png;base64,") == 2


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"audio": None}, "record a sound"),
        ({"audio": Path("/nowhere.wav")}, "did not arrive"),
        ({"num_seeds": 99}, "choose 1 to 4"),
        ({"audio_scale": float("nan")}, "choose 0 to 5"),
        ({"text": "a" * 501}, "longer than 500"),
    ],
)
def test_more_than_the_limits_allow_is_refused(
    responder: Responder, tone: Path, changes: dict[str, Any], sentence: str
) -> None:
    """Catches: a visitor who keeps the machine busy, or a path of the server that is read."""
    asked: dict[str, Any] = {"audio": tone, "text": "", "audio_scale": 1.0, "num_seeds": 1}
    asked |= changes
    with pytest.raises(HarnessError, match=sentence):
        responder.respond(asked.pop("audio"), **asked)


def test_a_large_or_broken_sound_is_refused(responder: Responder, tmp_path: Path) -> None:
    """Catches: an upload that is decoded whatever its size."""
    large, broken = tmp_path / "large.wav", tmp_path / "broken.wav"
    large.write_bytes(b"RIFF" + b"\0" * 200_000)
    broken.write_bytes(b"no sound")
    with pytest.raises(UsageError, match="at most 0 MB"):
        responder.respond(large, text="", audio_scale=1.0, num_seeds=1)
    with pytest.raises(DataError):
        responder.respond(broken, text="", audio_scale=1.0, num_seeds=1)


def test_other_machines_are_let_in_with_a_password_alone(
    finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a demo that the whole network reaches, unasked."""
    monkeypatch.setattr(
        "harness.demo.page.launch", lambda *_, **__: pytest.fail("the page was served")
    )
    require_safe("127.0.0.1", password=None)
    require_safe("0.0.0.0", password="secret")
    words = ["demo", finished.record.run_id, "--results", str(finished.request.results)]
    for more, sentence in (
        (["--host", "0.0.0.0"], "lets other machines in"),
        (["--password-file", str(tmp_path / "none")], "cannot be read"),
    ):
        done = CliRunner().invoke(app, [*words, *more])
        assert sentence in str(done.exception), done.output


def test_a_script_learns_where_the_page_is_once_it_is_served(
    finished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: an address said before anyone answers there, or mixed with other words."""
    from harness.demo import page

    done: list[str] = []

    class Served:
        def block_thread(self) -> None:
            done.append("blocked")

    monkeypatch.setattr(page, "require_gradio", lambda: None)
    monkeypatch.setattr(page, "build_page", lambda responder: Served())
    monkeypatch.setattr(page, "launch", lambda page, **words: done.append(str(words["port"])))
    words = ["demo", finished.record.run_id, "--results", str(finished.request.results)]
    ran = CliRunner().invoke(app, [*words, "--no-browser", "--port", "7999", "--json"])
    assert json.loads(ran.stdout) == {
        "url": "http://127.0.0.1:7999", "branches": ["baseline"], "needs_password": False,
    }  # fmt: skip
    assert done == ["7999", "blocked"]


@pytest.mark.slow
def test_a_dropped_sound_is_answered_in_a_browser(
    responder: Responder, tone: Path, browser: Any, violations: Any
) -> None:
    """Catches: a page that loads and never answers, asks the network for anything, or that a
    phone or a screen reader cannot use, in either scheme."""
    pytest.importorskip("gradio")
    from harness.demo.page import build_page, launch

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    page = build_page(responder)
    launch(
        page,
        host="127.0.0.1",
        port=port,
        password=None,
        opens_browser=False,
        limits_bytes=200_000,
        is_blocking=False,
    )
    path = shutil.which("chromium")
    local_alone = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    own = browser.browser_type.launch(executable_path=path, args=["--no-sandbox", local_alone])
    try:
        tab = own.new_page()
        outside: list[str] = []
        tab.on("request", lambda request: outside.append(request.url))
        tab.goto(f"http://127.0.0.1:{port}")
        tab.set_input_files("input[type=file]", str(tone))
        tab.wait_for_selector("audio, [data-testid^=waveform]", state="attached", timeout=60_000)
        tab.click("#generate")
        tab.wait_for_selector("#answers img", timeout=120_000)
        assert tab.locator("#answers img").count() == 4
        assert tab.locator("#answers figcaption").nth(1).inner_text() == "two, noise 0 · save"
        assert "1.0 s of sound" in tab.inner_text("#heard")
        local = (f"http://127.0.0.1:{port}", "data:", "blob:")
        assert [url for url in outside if not url.startswith(local)] == []
        answers = tab.inner_html("#answers")
        for width, scheme in ((1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")):
            fresh = own.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
            fresh.goto(f"http://127.0.0.1:{port}")
            fresh.wait_for_selector("#generate")
            assert violations(fresh) == []
            fresh.set_input_files("input[type=file]", str(tone))
            fresh.wait_for_selector("audio, [data-testid^=waveform]", state="attached")
            # What the first page was answered: it would be the same here, and take long again.
            fresh.evaluate(
                "html => { document.querySelector('#answers').innerHTML = html }", answers
            )
            assert violations(fresh) == []
            assert fresh.evaluate("document.documentElement.scrollWidth") <= width
            fresh.close()
    finally:
        own.close()
        page.close()
