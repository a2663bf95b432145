"""Content to HTML and Markdown, through the templates beside this file."""

import re
from collections.abc import Sequence
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from harness.report.page.content import Head, Section
from harness.report.page.media import MediaStore
from harness.report.page.style import GLYPHS
from harness.wording.numbers import plain

_SPECIAL = re.compile(r"([\\`*_\[\]|#~$!])")


def html(head: Head, *, content: Sequence[Section], media: MediaStore) -> str:
    """The page."""
    template = _environment().get_template("report.html.j2")
    return template.render(head=head, sections=content, media=media)


def markdown(head: Head, *, content: Sequence[Section], sheet: str | None) -> str:
    """The twin for a pull request: the sections that fit one, and where the rest is.

    sheet: path of the contact sheet's picture beside the page, or None.
    """
    template = _environment().get_template("report.md.j2")
    text = template.render(head=head, sections=content, sheet=sheet)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def encoded(text: str) -> bytes:
    """A page as bytes; halves of surrogate pairs become question marks."""
    return text.encode("utf-8", "replace")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("harness.report.page", "templates"),
        autoescape=select_autoescape(enabled_extensions=("html.j2",), default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["md"] = md
    environment.filters["glyph"] = lambda index: GLYPHS[index % len(GLYPHS)]
    environment.filters["breakable"] = _breakable
    environment.filters["svg"] = Markup  # matplotlib escaped its text; nothing else comes here
    return environment


def _breakable(text: object) -> Markup:
    """A name that may break after its underscores, in a narrow column."""
    return Markup("_<wbr>").join(escape(part) for part in str(text).split("_"))


def md(text: object) -> str:
    """Text that Markdown, and HTML inside it, leave as it is; no mention reaches anyone."""
    words = _SPECIAL.sub(r"\\\1", plain(text))
    words = words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return words.replace("@", "@&#8203;").replace("://", ":&#8203;//")
