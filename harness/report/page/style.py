"""One look for every plot, and the step from matplotlib's SVG to one that follows the page.

Colours are drawn as fixed values and then named: in the page they are CSS variables, so that a
plot follows light and dark. Text stays text, in the page's font.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

from harness.wording.numbers import plain

WIDE_PX = 760
NARROW_PX = 350

INK = "#15191e"
MUTED = "#5a6470"
GRID = "#dde2e8"
BAND = "#e9edf2"
PAPER = "#fefefe"
BRANCH_COLOURS = (
    "#0a66a8",
    "#c2410d",
    "#0b7a5b",
    "#9d3a83",
    "#7a5c06",
    "#1b7688",
    "#5a4fc6",
    "#6a7281",
)
"""Blue, vermilion, green, purple, ochre, teal, indigo, grey: told apart by colour-blind readers,
and each has a marker of its own."""
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "p")
GLYPHS = ("●", "■", "◆", "▲", "▼", "✚", "✖", "⬟")
"""The same markers in text."""

_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    BAND: "--band",
    PAPER: "--paper",
    **{colour: f"--branch-{index}" for index, colour in enumerate(BRANCH_COLOURS)},
}
_RC: Any = {  # matplotlib types the keys as a literal of every name it has
    "svg.fonttype": "none",
    "text.parse_math": False,  # a class named $x$ is text
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 11.5,
    "axes.labelsize": 11.5,
    "axes.titlesize": 12.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 9,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "text.color": INK,
    "axes.unicode_minus": True,
    "figure.dpi": 72,  # a point is a pixel, so that sizes above are CSS pixels
    "path.simplify": True,
    "path.simplify_threshold": 0.4,
}
_FONT = re.compile(r"font: ([^;\"]*?)'DejaVu Sans'[^;\"]*")
_TAG = re.compile(r"<[^>]*>")
_ID = re.compile(r'(\bid="|url\(#|href="#)')


def colour(index: int) -> str:
    """Colour of the branch with this index."""
    return BRANCH_COLOURS[index % len(BRANCH_COLOURS)]


def marker(index: int) -> str:
    """Marker of the branch with this index."""
    return MARKERS[index % len(MARKERS)]


@contextmanager
def themed() -> Iterator[None]:
    """Draw in the report's look; nothing of it stays behind."""
    import matplotlib

    with matplotlib.rc_context(_RC):
        yield


def new_figure(width_px: int, height_px: float) -> Any:
    """An empty figure of that size in CSS pixels."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width_px / 72, height_px / 72), dpi=72, layout="constrained")


def both(name: str, draw: Callable[[int], Any]) -> tuple[str, str]:
    """The plot that `draw(width_px)` makes, for a desktop and for a phone.

    name: unique on the page; it leads every id inside the SVG.
    """
    found = []
    for kind, width in (("wide", WIDE_PX), ("narrow", NARROW_PX)):
        with themed():
            found.append(_svg(draw(width), name=f"{name}-{kind}"))
    return found[0], found[1]


def _svg(figure: Any, *, name: str) -> str:
    import matplotlib

    buffer = StringIO()
    with matplotlib.rc_context(_RC | {"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    head, rest = text.split(">", 1)
    box = re.search(r'viewBox="([^"]*)"', head)
    if box is None:
        raise ValueError("matplotlib wrote an SVG without a viewBox")
    text = f'<svg viewBox="{box[1]}" aria-hidden="true" focusable="false">{rest}'
    # Inside tags only: a class that is named like a colour stays what it is.
    text = _TAG.sub(lambda tag: _themed_tag(tag[0], name=name), text)
    return re.sub(r">\s*\n\s*<", ">\n<", text).strip()


def _themed_tag(tag: str, *, name: str) -> str:
    tag = _ID.sub(lambda found: f"{found[1]}{name}-", tag)
    tag = _FONT.sub(lambda found: f"font: {found[1]}var(--sans)", tag)
    for value, variable in _VARIABLES.items():
        tag = tag.replace(value, f"var({variable})")
    return tag


def shortened(text: object, *, most: int = 28) -> str:
    """A name that fits beside a plot."""
    words = plain(text)
    return words if len(words) <= most else words[: most - 1] + "…"
