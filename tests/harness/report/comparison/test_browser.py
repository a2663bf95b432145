"""The report in a real browser: what a reader sees, hears and is spared.

The browser is Debian's chromium, driven over a pipe by playwright in a process of its own. It
resolves no name, and every request that the page tries is seen.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Dialog, Page

from harness.report.comparison.write import write_comparison_report
from harness.report.page.page import Written

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


@dataclass
class Opened:
    """A page, and all that it said and asked for."""

    page: Page
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    def dismiss(self, dialog: Dialog) -> None:
        """Note what a script asked, and go on."""
        self.dialogs.append(dialog.message)
        dialog.dismiss()


def open_report(browser: Browser, path: Path, **options: Any) -> Opened:
    context = browser.new_context(**{"viewport": DESKTOP, **options})
    opened = Opened(context.new_page())
    opened.page.on("console", lambda message: opened.messages.append(message.text))
    opened.page.on("pageerror", lambda error: opened.messages.append(str(error)))
    opened.page.on("request", lambda request: opened.requests.append(request.url))
    opened.page.on("requestfailed", lambda request: opened.messages.append(request.url))
    opened.page.on("dialog", opened.dismiss)
    opened.page.goto(path.as_uri())
    # Pictures below the fold are decoded when they come near; ask for all of them.
    opened.page.evaluate("document.querySelectorAll('img').forEach(i => { i.loading = 'eager' })")
    opened.page.wait_for_function(
        "[...document.images].every(i => i.complete)"
        " && [...document.querySelectorAll('audio')].every(a => a.readyState >= 1 || a.error)"
    )
    return opened


@pytest.fixture(scope="module")
def opened(browser: Browser, written: Written) -> Iterator[Opened]:
    found = open_report(browser, written.page)
    yield found
    found.page.context.close()


def test_the_page_has_no_error_and_asks_for_nothing(opened: Opened, written: Written) -> None:
    """Catches: a script, a font or a picture from elsewhere; a policy that blocks our own."""
    assert opened.messages == []
    outside = [url for url in opened.requests if not url.startswith("data:")]
    assert outside == [written.page.as_uri()]
    assert opened.page.evaluate("document.scripts.length") == 0


def test_a_page_that_tries_to_leave_would_be_seen(
    browser: Browser, written: Written, tmp_path: Path
) -> None:
    """Catches: a test of requests that sees none; and the policy lets nothing out."""
    leaking = tmp_path / "index.html"
    text = written.page.read_text(encoding="utf-8")
    leaking.write_text(text.replace("<main ", '<img src="http://leak.invalid/x"><main ', 1))
    opened = open_report(browser, leaking)
    assert any("leak.invalid" in message for message in opened.messages)
    assert any("Content Security Policy" in message for message in opened.messages)
    opened.page.context.close()


def test_every_sound_plays(opened: Opened) -> None:
    """Catches: an encoding the browser refuses, an empty file, a policy without media."""
    sounds = opened.page.evaluate(
        """async () => {
          const found = [];
          for (const a of document.querySelectorAll('audio')) {
            a.muted = true;
            await a.play();
            a.pause();
            found.push([a.error && a.error.message, a.duration, a.readyState]);
          }
          return found;
        }"""
    )
    # Cards by hash (one per class), two best and two worst play both sounds; the first screen one.
    assert len(sounds) == 6 * 2 + 2
    for error, duration, ready in sounds:
        assert error is None
        assert duration == pytest.approx(0.5, abs=0.1)
        assert ready >= 2


def test_every_picture_is_decoded(opened: Opened) -> None:
    """Catches: a broken data URI, a picture that was never written."""
    widths = opened.page.evaluate("[...document.images].map(i => i.naturalWidth)")
    # Of each card two spectrograms, two real ones and two branches in four arms; of two cells the
    # real one and two branches; the nearest four pairs.
    assert len(widths) == 6 * (2 + 2 + 8) + 2 * 3 + 4 * 2
    assert min(widths) >= 16
    opened.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    drawn = opened.page.evaluate(
        "[...document.querySelectorAll('.plot .wide svg')].map(s => s.getBBox().width)"
    )
    opened.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = false })")
    assert len(drawn) == 6
    assert min(drawn) > 300


def test_hostile_names_stay_text(opened: Opened, results: Any) -> None:
    """Catches: a class, file name or caption that becomes an element, in HTML or in an SVG."""
    text = opened.page.evaluate("document.body.textContent")
    assert results.hostile_class in text
    assert results.hostile_id in text
    assert results.hostile_caption in text
    assert opened.page.title().startswith("Undecided")
    assert opened.dialogs == []
    planted = "document.querySelectorAll('script, [onerror], [onload], [src^=http], a[href^=http]')"
    assert opened.page.evaluate(f"{planted}.length") == 0


@pytest.mark.parametrize("opens_all", [False, True], ids=["folded", "unfolded"])
def test_a_phone_never_scrolls_the_page_sideways(
    browser: Browser, written: Written, opens_all: bool
) -> None:
    """Catches: a table, a plot or a long name that pushes the page wider than the screen."""
    opened = open_report(browser, written.page, viewport=PHONE)
    if opens_all:
        opened.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    shown = (
        "[...document.querySelectorAll('.plot svg')].filter(s => s.getBoundingClientRect().width)"
    )
    boxes = opened.page.evaluate(f"{shown}.map(s => [s.viewBox.baseVal.width, s.clientWidth])")
    assert len(boxes) == 6
    for drawn, width in boxes:
        assert width / drawn > 0.9  # text keeps the size it was drawn in
    opened.page.context.close()


def test_the_first_screen_holds_the_answers_and_sounds(opened: Opened) -> None:
    """Catches: a banner so tall, or answers so long, that a desktop shows no sound."""
    page = opened.page
    page.evaluate("scrollTo(0, 0)")
    below = page.evaluate(
        "Math.max(...[...document.querySelectorAll('.answer, .glance li')]"
        ".map(e => e.getBoundingClientRect().bottom))"
    )
    assert below <= DESKTOP["height"]
    assert page.evaluate("document.querySelectorAll('.answer').length") == 4
    assert page.evaluate("document.querySelectorAll('.glance audio').length") == 2


def test_a_phone_shows_the_verdict_of_each_pair_without_scrolling(
    browser: Browser, written: Written
) -> None:
    """Catches: a verdict column that is behind eleven others at the right of a table."""
    opened = open_report(browser, written.page, viewport=PHONE)
    right = opened.page.evaluate(
        """[...document.querySelectorAll('#forest table')]
          .filter(t => /verdict|narrows/.test(t.tHead.textContent) && t.offsetParent)
          .map(t => t.rows[1].cells[1].getBoundingClientRect().right)"""
    )
    assert len(right) == 2
    assert max(right) <= PHONE["width"] - 16
    opened.page.context.close()


_CONTRAST = """() => {
  const rgb = text => {
    const n = text.match(/[\\d.]+/g).map(Number);
    return text.startsWith('color(') ? [n[0] * 255, n[1] * 255, n[2] * 255, n[3] ?? 1]
                                     : [n[0], n[1], n[2], n[3] ?? 1];
  };
  const light = c => {
    const [r, g, b] = c.map(v => v / 255).map(
      v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const behind = node => {
    for (let n = node; n; n = n.parentElement) {
      const c = rgb(getComputedStyle(n).backgroundColor);
      if (c[3] > .99) return c.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const low = [];
  let seen = 0;
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !node.getClientRects().length) continue;
    if (node.closest('style, [aria-hidden=true]:not(svg):not(svg *)')) continue;
    const style = getComputedStyle(node);
    const ink = rgb(node.closest('svg') ? style.fill : style.color).slice(0, 3);
    const [a, b] = [light(ink), light(behind(node))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    seen += 1;
    if (ratio < 4.5) low.push([node.tagName, walker.currentNode.data.trim().slice(0, 40), ratio]);
  }
  return [seen, low];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_both_schemes(browser: Browser, written: Written, scheme: str) -> None:
    """Catches: a colour that is readable on white alone, also inside plots and heat maps."""
    opened = open_report(browser, written.page, color_scheme=scheme)
    opened.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    seen, low = opened.page.evaluate(_CONTRAST)
    assert seen > 300
    assert low == []
    background = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(15, 19, 23)")
    opened.page.context.close()


def test_a_keyboard_and_a_screen_reader_find_their_way(opened: Opened) -> None:
    """Catches: a plot without words, a table without a caption, a box no key can scroll."""
    page = opened.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.querySelectorAll('header, nav, main, footer').length") >= 4
    headings = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])")
    assert headings[:2] == [1, 2]
    assert all(b - a <= 1 for a, b in pairwise(headings))
    missing = page.evaluate(
        """[
          ...[...document.images].filter(i => !i.alt),
          ...[...document.querySelectorAll('table')].filter(t => !t.caption || !t.tHead),
          ...[...document.querySelectorAll('th')].filter(t => !t.scope),
          ...[...document.querySelectorAll('.plot')].filter(
            p => !p.querySelector('[role=img][aria-label]')?.getAttribute('aria-label')),
          ...[...document.querySelectorAll('.scroll')].filter(s => s.tabIndex !== 0),
          ...[...document.querySelectorAll('audio')].filter(a => !a.ariaLabel),
        ].map(e => e.outerHTML.slice(0, 80))"""
    )
    assert missing == []


def test_a_large_report_becomes_a_folder_that_still_plays(
    browser: Browser, comparison_folder: Path, tmp_path: Path
) -> None:
    """Catches: media that a page beside them cannot reach, or that stay inside it."""
    moved = tmp_path / "results" / "reports" / comparison_folder.name
    shutil.copytree(comparison_folder.parents[1], tmp_path / "results")
    written = write_comparison_report(moved, max_bytes=1_000)
    assert not written.is_self_contained
    media = {path.name for path in (moved / "media").iterdir()}
    assert len([name for name in media if name.endswith(".mp3")]) == 8  # cards and their partners
    opened = open_report(browser, written.page)
    assert opened.messages == []
    beside = [url for url in opened.requests[1:] if not url.startswith("data:")]
    assert {Path(url).parent.name for url in beside} == {"media"}
    assert opened.page.evaluate("[...document.images].every(i => i.naturalWidth > 0)")
    assert opened.page.evaluate(
        "[...document.querySelectorAll('audio')].every(a => !a.error && a.duration > .3)"
    )
    opened.page.context.close()
    again = write_comparison_report(moved)
    assert again.is_self_contained
    assert not (moved / "media").exists()


def test_a_link_to_a_folded_section_opens_it(opened: Opened) -> None:
    """Catches: a table of contents that leads to a closed box."""
    page = opened.page
    page.click(".side a[href='#cost-inside']")
    page.wait_for_function("document.querySelector('#cost details').open")
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = false })")
