"""The branches' answers as HTML: a row for each noise, a column for each branch."""

import base64
from collections.abc import Sequence
from html import escape

from harness.demo.respond import Shown
from harness.generate.image_file import png_bytes

STYLE = """
/* The player's times and speed are of this grey, too light on white. */
:root { --neutral-400: #525c67 !important; }
.dark { --neutral-400: #bbbbc2 !important; }
.answers { display: grid; gap: .75rem; margin: 0; padding: 0; list-style: none; }
.answers figure { margin: 0; }
.answers img { display: block; width: 100%; aspect-ratio: 1; object-fit: contain;
  border-radius: 6px; }
.answers figcaption { font-size: .9rem; margin-top: .25rem; overflow-wrap: anywhere; }
.answers a { text-decoration: underline; margin: 0; padding: 0; }
.answers-empty { border: 1px dashed currentColor; border-radius: 6px; padding: 3rem 1rem;
  text-align: center; }
"""
EMPTY = '<p class="answers-empty">The answers appear here, a row for each noise.</p>'


def answers_html(shown: Sequence[Shown], *, num_branches: int) -> str:
    """The images with their names, each with a link that saves it as it was sampled.

    shown: by noise, then by branch.
    """
    items = []
    for one in shown:
        words = escape(one.words)
        url = "data:image/png;base64," + base64.b64encode(png_bytes(one.pixels_HWC)).decode()
        name = escape("".join(c if c.isalnum() else "-" for c in one.words))
        # The caption says what it is; the image itself is the answer, which words do not replace.
        items.append(
            f'<li><figure><img src="{url}" alt="Image of {words}"><figcaption>{words} · '
            f'<a href="{url}" download="{name}.png" aria-label="Save image of {words}">save</a>'
            "</figcaption></figure></li>"
        )
    columns = f"grid-template-columns: repeat({num_branches}, minmax(0, 1fr))"
    return f'<ul class="answers" style="{columns}">{"".join(items)}</ul>'
