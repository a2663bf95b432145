"""A sweep's page in a real browser: it loads nothing, fits its screen, and can be read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from harness.report.page.page import Written

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}

# Pairs of labels of one plot whose boxes meet, and labels that leave their plot.
_CROWDED = """() => {
  const bad = [];
  for (const svg of document.querySelectorAll('.plot svg')) {
    const frame = svg.getBoundingClientRect();
    if (!frame.width) continue;
    const boxes = [...svg.querySelectorAll('text')].map(t => [t.textContent.trim(),
                                                              t.getBoundingClientRect()]);
    boxes.forEach(([text, a], i) => {
      if (a.left < frame.left - 6 || a.right > frame.right + 6) bad.push(['outside', text]);
      if (Math.min(a.width, a.height) < 4) return;
      for (const [other, b] of boxes.slice(i + 1)) {
        const x = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const y = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (x > 2 && y > 4 && Math.abs(a.height - b.height) < 3) bad.push([text, other]);
      }
    });
  }
  return bad;
}"""


def opened(browser: Browser, path: Path, **options: Any) -> tuple[Page, list[str]]:
    """The page, and all that it said or asked for."""
    page = browser.new_context(**{"viewport": DESKTOP, **options}).new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url))
    page.goto(path.as_uri())
    return page, [line for line in said if line != path.as_uri() and not line.startswith("data:")]


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def page(browser: Browser, written: Written, request: pytest.FixtureRequest) -> Iterator[Page]:
    found, said = opened(browser, written.page, viewport=request.param)
    assert said == []
    found.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    yield found
    found.context.close()


def test_the_page_fits_its_screen_without_a_word_to_the_console(page: Page) -> None:
    """Catches: a script, a font from elsewhere, a plot or table wider than the screen."""
    width = page.evaluate("innerWidth")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    shown = page.evaluate(
        "[...document.querySelectorAll('.plot svg')].map(s => s.clientWidth / "
        "s.viewBox.baseVal.width).filter(x => x)"
    )
    assert len(shown) == 9  # progress, importances of one branch, the front, three a branch
    assert min(shown) > 0.9  # text keeps the size it was drawn in


def test_labels_of_plots_do_not_meet_or_leave_them(page: Page) -> None:
    """Catches: ticks drawn over each other, a name cut off at the edge."""
    assert page.evaluate(_CROWDED) == []


def test_plots_and_tables_have_words(page: Page) -> None:
    """Catches: a plot that says nothing to who cannot see it."""
    missing = page.evaluate(
        """[
          ...[...document.querySelectorAll('table')].filter(t => !t.caption || !t.tHead),
          ...[...document.querySelectorAll('.plot')].filter(
            p => (p.querySelector('[role=img]')?.getAttribute('aria-label') || '').length < 20),
        ].map(e => e.outerHTML.slice(0, 80))"""
    )
    assert missing == []


def test_plots_follow_a_dark_page(browser: Browser, written: Written) -> None:
    """Catches: black text on a dark page, a colour that was drawn and not named."""
    page, said = opened(browser, written.page, color_scheme="dark")
    assert said == []
    fills = page.evaluate(
        "[...new Set([...document.querySelectorAll('.plot .wide text')].map("
        "t => getComputedStyle(t).fill))]"
    )
    assert fills
    for fill in fills:
        channels = [int(part) for part in fill.removeprefix("rgb(").rstrip(")").split(",")]
        assert min(channels) > 120, fill
    page.context.close()
