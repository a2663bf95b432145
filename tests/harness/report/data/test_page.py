"""The page of a cleaning, in a real browser."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from core.data.cleaning.clean import build_manifest
from core.data.items import Reason
from core.data.media.quality import Flag
from harness.report.data.page import FLAG_TITLES, REASON_TITLES, write_data_page

HOSTILE = '<script>document.title="owned"</script><img src=x onerror="alert(1)">'


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page of a small folder with hostile names, and the manifest it shows."""
    root = tmp_path_factory.mktemp("page") / "media & <b>more"
    (root / "audio").mkdir(parents=True)
    (root / "frames").mkdir()
    rows = []
    generator = np.random.default_rng(0)

    def add(id_, class_name, sound, shade):
        name = f"{len(rows)}"
        soundfile.write(root / f"audio/{name}.wav", sound, 48_000)
        cells = generator.integers(0, 256, (5, 6, 3), dtype=np.uint8)
        picture = Image.fromarray(cells).resize((400, 300)) if shade is None else shade
        picture.save(root / f"frames/{name}.jpg")
        rows.append(
            {
                "video_id": id_,
                "audio_path": f"audio/{name}.wav",
                "image_path": f"frames/{name}.jpg",
                "class": class_name,
                "text": HOSTILE,
            }
        )

    def noise(seconds=2.0, level=0.1):
        return (level * generator.standard_normal(round(48_000 * seconds))).clip(-0.9, 0.9)

    copied = noise()
    add("rain0", "rain", copied * 0.5, None)
    for index in range(1, 4):
        add(f"rain{index}", "rain", noise(), None)
    add(HOSTILE.replace("/", "|"), HOSTILE, noise(), None)
    add("quiet", "rain", noise(level=3e-4), None)
    add("rainy", "rain", copied, None)
    add("black", "rain", noise(), Image.new("RGB", (40, 30)))
    for index in range(9):
        add(f"silent{index}", "rain", np.zeros(48_000), None)
    (root / "audio/line\nbreak.wav").write_bytes(b"x" * 99)
    (root / "audio/half.webm.part").write_bytes(b"x")
    (root / "metadata.json").write_text(json.dumps(rows))
    manifest = build_manifest(root, max_excluded_share=0.9)
    folder = root.parent / "out"
    return write_data_page(manifest, folder=folder), manifest


def test_every_reason_and_flag_has_a_title():
    """Catches: a new reason that breaks the page of the first user who meets it."""
    assert set(REASON_TITLES) == set(Reason)
    assert set(FLAG_TITLES) == set(Flag)


def test_nothing_hostile_is_left_unescaped(page):
    """Catches: an id, class, folder or caption that becomes markup."""
    text = page[0].read_text()
    assert "<script" not in text
    assert "<img src=x" not in text
    assert "<b>more" not in text
    assert "&lt;script&gt;" in text


def test_the_page_is_small_and_reaches_for_nothing(page):
    """Catches: whole media in the page, or a font, script or style from the network."""
    text = page[0].read_text()
    assert len(text) < 1_000_000
    assert "http://" not in text.replace("http://www.w3.org/", "")
    assert "https://" not in text
    assert list(page[0].parent.iterdir()) == [page[0]]


@pytest.mark.parametrize(("width", "scheme"), [(1_200, "light"), (390, "dark")])
def test_the_page_is_seen_and_heard(page, browser, width, scheme):
    """Catches: scripts that run, plots or media that do not load, a page wider than a phone, a
    plot that stays white in the dark."""
    path, _ = page
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
    )
    tab = context.new_page()
    seen: list[str] = []
    tab.on("dialog", lambda dialog: seen.append("dialog") or dialog.dismiss())
    tab.on("console", lambda message: seen.append(message.text))
    tab.goto(path.as_uri())
    assert tab.title().endswith(" · Cleaning of media & <b>more")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate("[...document.images].every(i => i.naturalWidth > 0)")
    playable = """async () => Promise.all([...document.querySelectorAll("audio")].map(a =>
        new Promise(r => { a.onloadedmetadata = () => r(a.duration); a.onerror = () => r(-1);
                           a.load(); })))"""
    durations = tab.evaluate(playable)
    assert len(durations) >= 6
    assert min(durations) > 0.9
    visible = "wide" if width > 640 else "narrow"
    assert tab.evaluate(f"document.querySelectorAll('.{visible} svg').length") == 5
    assert tab.locator(f".{visible} svg").first.is_visible()
    ink = tab.evaluate("getComputedStyle(document.querySelector('svg text')).fill")
    assert (int(ink[4:].split(",")[0]) > 128) is (scheme == "dark")
    rows = tab.locator("table").first.locator("tbody tr").all_inner_texts()
    assert f"{HOSTILE}\t1\t\t" in rows
    assert "rain\t7\t3\t9" in rows
    heads = tab.locator("h3").all_inner_texts()
    assert any(head.startswith("One constant value, no sound: 9") for head in heads)
    assert tab.locator("#silent_audio + .examples .card").count() == 3
    copies = tab.locator("#near_duplicate_audio ~ .examples").first.locator(".card")
    assert [card.split("\n")[0] for card in copies.all_inner_texts()] == [
        "rain0 rain",
        "rainy rain",
    ]
    assert seen == []
    context.close()


def test_examples_stop_at_their_budget(page, monkeypatch):
    """Catches: a page that grows with the number of classes or reasons."""
    from harness.report.data import page as module

    monkeypatch.setattr(module, "_MAX_MEDIA_BYTES", 20_000)
    path = write_data_page(page[1], folder=Path(page[0]).parent / "small")
    media = [part for part in path.read_text().split('"') if part.startswith("data:")]
    assert 0 < sum(map(len, media)) <= 20_000
