"""One page of a report, written: HTML that holds all of itself, and its Markdown twin."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.files import write_atomic
from harness.records.folders import PAGE
from harness.report.page.content import Head, Section
from harness.report.page.media import MediaStore
from harness.report.page.render import encoded, html, markdown

TWIN = "report.md"
MAX_BYTES = 20_000_000
"""Largest page with everything inside it; a larger one keeps sounds and pictures beside it."""


@dataclass(frozen=True)
class Written:
    """A report on disk."""

    page: Path
    """The HTML page."""
    twin: Path
    """Its Markdown twin."""
    verdict: str
    """The one sentence."""
    is_self_contained: bool
    """Whether the page holds its sounds and pictures."""
    files: Mapping[str, Path | None]
    """The record and the tables beside the page, by their names for scripts."""
    counts: Mapping[str, int]
    """How many things it reports, by their names for scripts."""

    def data(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "report": str(self.page),
            "markdown": str(self.twin),
            **{name: None if path is None else str(path) for name, path in self.files.items()},
            "verdict": self.verdict,
            "is_self_contained": self.is_self_contained,
            **self.counts,
            "size_bytes": self.page.stat().st_size,
        }


@dataclass(frozen=True, kw_only=True)
class Page:
    """What a page says, before it is written."""

    head: Head
    """What stands over the sections."""
    sections: Sequence[Section]
    """In their order."""
    media: MediaStore = field(default_factory=MediaStore)
    """The sounds and pictures that the sections name."""
    sheet: str | None = None
    """The contact sheet's picture beside the page; None where there is none."""

    def html(self) -> bytes:
        """The page alone."""
        return encoded(html(self.head, content=self.sections, media=self.media))

    def write(
        self,
        folder: Path,
        *,
        files: Mapping[str, Path | None],
        counts: Mapping[str, int],
        max_bytes: int = MAX_BYTES,
    ) -> Written:
        """Write page, twin and media into `folder`, the page last, so that its links hold.

        max_bytes: of the page with its media inside; above it they lie beside it.

        Raises:
            NoSpaceError: the disk is full.
        """
        # A page that is too large for its media alone is not drawn with them first.
        self.media.is_embedded = self.media.embedded_bytes <= max_bytes
        page = self.html()
        if len(page) > max_bytes and self.media.is_embedded and self.media.has_files:
            self.media.is_embedded = False
            page = self.html()
        twin = encoded(markdown(self.head, content=self.sections, sheet=self.sheet))
        self.media.save(folder)
        write_atomic(folder / TWIN, content=twin)
        write_atomic(folder / PAGE, content=page)
        return Written(
            page=folder / PAGE,
            twin=folder / TWIN,
            verdict=self.head.headline,
            is_self_contained=self.media.is_embedded,
            files=files,
            counts=counts,
        )
