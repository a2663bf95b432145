"""What a section is made of; the HTML page and its Markdown twin are drawn from the same parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Cell:
    """One cell of a table."""

    text: str
    """What it says; blank for a number that is missing."""
    href: str | None = None
    """Where the number comes from: an anchor of the page or a path relative to it."""
    note: str = ""
    """A second, smaller line."""
    tone: str = ""
    """`good`, `bad`, `warn` or `muted`; never the only carrier of a meaning."""
    branch: int | None = None
    """Index of the branch whose marker stands before the text."""
    heat: float | None = None
    """Shade of a heat map's cell: 0 to 1 for a level, -1 to 1 for a difference."""
    is_difference: bool = False
    """Whether `heat` is a difference, shaded in two colours."""


@dataclass(frozen=True)
class Column:
    """One column's head."""

    title: str
    is_number: bool = False
    branch: int | None = None
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table; the first cell of a row is the row's head."""

    kind: ClassVar[str] = "table"
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    is_folded: bool = False
    """Whether a reader opens it first."""
    row_ids: tuple[str, ...] = ()
    """Anchors of the rows, where others link to them."""


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of text."""

    kind: ClassVar[str] = "paragraph"
    text: str
    tone: str = ""


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    kind: ClassVar[str] = "bullets"
    items: tuple[str, ...]


@dataclass(frozen=True)
class Blank:
    """Why something is not shown."""

    kind: ClassVar[str] = "blank"
    reason: str


@dataclass(frozen=True)
class Command:
    """A line for the shell."""

    kind: ClassVar[str] = "command"
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Figure:
    """A plot at two widths, with what it says in words and the numbers behind it."""

    kind: ClassVar[str] = "figure"
    id: str
    title: str
    alt: str
    """What a reader who cannot see it should know."""
    wide: str
    """SVG for a desktop."""
    narrow: str
    """SVG for a phone."""
    legend: tuple[str, ...] = ()
    """How to read it, a line each."""
    data: Table | None = None
    """The numbers; None where a table of the section holds them."""
    branches: tuple[int, ...] | None = None
    """Indices of the branches in its key; None for all."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """One key number."""

    title: str
    value: str
    note: str = ""
    href: str | None = None
    branch: int | None = None


@dataclass(frozen=True)
class Cards:
    """Key numbers side by side."""

    kind: ClassVar[str] = "cards"
    items: tuple[Card, ...]


@dataclass(frozen=True)
class Picture:
    """One image of the contact sheet."""

    title: str
    alt: str
    media: str | None
    """Key in the media store; None where there is none."""
    note: str = ""
    href: str | None = None
    branch: int | None = None
    reason: str = ""
    """Why there is none."""


@dataclass(frozen=True)
class Heard:
    """A sound to play, or why there is none."""

    label: str
    """What is heard, for one who cannot see the player."""
    sound: str | None
    """Key in the media store; None where there is none."""
    spectrogram: str | None = None
    """Likewise, of its picture."""
    reason: str = ""
    """Why there is no sound."""


@dataclass(frozen=True)
class SheetRow:
    """What was given to the branches, and what each generated with it."""

    title: str
    """What was given."""
    heard: Heard | None
    """The sound; None where none was given."""
    pictures: tuple[Picture | None, ...]
    """A real picture first, then each branch's image; None for an empty place."""
    note: str = ""
    """Which clip's sound it is, where it is not the card's own."""


@dataclass(frozen=True)
class SheetClip:
    """One clip of the contact sheet."""

    id: str
    """Anchor of its card."""
    title: str
    sample_id: str
    caption: str
    label: str
    """Why it is here: chosen by hash, best or worst, with the number."""
    tone: str
    """`random`, `best` or `worst`."""
    columns: tuple[Column, ...]
    """Heads of the pictures."""
    rows: tuple[SheetRow, ...]


@dataclass(frozen=True)
class Sheet:
    """The contact sheet: a card for each clip."""

    kind: ClassVar[str] = "sheet"
    clips: tuple[SheetClip, ...]


@dataclass(frozen=True)
class Glance:
    """A few clips of the contact sheet at a glance: the matching sound, and what came of it."""

    kind: ClassVar[str] = "glance"
    title: str
    clips: tuple[SheetClip, ...]
    """Their first rows are shown; each leads to its card."""


@dataclass(frozen=True)
class Answer:
    """One question of a reader, answered in sentences, with a line for the shell or without."""

    question: str
    sentences: tuple[str, ...]
    command: str | None = None


@dataclass(frozen=True)
class Answers:
    """The first questions of a reader side by side."""

    kind: ClassVar[str] = "answers"
    items: tuple[Answer, ...]


@dataclass(frozen=True)
class Filter:
    """One choice of which tiles of a wall are shown."""

    key: str
    """What the tiles it shows hold in `keys`."""
    title: str


@dataclass(frozen=True)
class Tile:
    """One clip of a wall: its sound, its picture, and each run's image."""

    title: str
    sample_id: str
    caption: str
    heard: Heard
    real: Picture
    pairs: tuple[tuple[Picture, Picture | None], ...]
    """Each run's image, and the training picture that is nearest to it."""
    keys: tuple[str, ...]
    """Of the filters that show it."""


@dataclass(frozen=True, kw_only=True)
class Wall:
    """All clips, of which a reader chooses: by class, the best, the worst."""

    kind: ClassVar[str] = "wall"
    id: str
    legend: str
    filters: tuple[Filter, ...]
    """Beside the first, which shows all."""
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Gallery:
    """Pictures side by side, each with what it is compared with."""

    kind: ClassVar[str] = "gallery"
    title: str
    pairs: tuple[tuple[Picture, Picture], ...]


@dataclass(frozen=True)
class Strip:
    """A wide picture that a reader scrolls along, under a title."""

    kind: ClassVar[str] = "strip"
    title: str
    alt: str
    """What a reader who cannot see it should know."""
    media: str
    """Key in the media store."""


@dataclass(frozen=True)
class Example:
    """One item of a data folder, to hear and to see."""

    name: str
    """Its id."""
    class_name: str
    """Blank where it has none."""
    sentence: str
    """Why it is shown."""
    files: str
    """Paths of its files."""
    sound: str | None
    """Key in the media store; None where there is nothing to hear."""
    picture: str | None
    """The same; None where there is nothing to see."""


@dataclass(frozen=True)
class Examples:
    """Items side by side, under a heading of their own where they have a title."""

    kind: ClassVar[str] = "examples"
    items: tuple[Example, ...]
    id: str = ""
    """Anchor, and the name that manifests and options know."""
    title: str = ""
    note: str = ""


Part = (
    Answers | Blank | Bullets | Cards | Command | Examples | Figure | Gallery | Glance | Paragraph
    | Sheet | Strip | Table | Wall
)  # fmt: skip


@dataclass(frozen=True)
class Section:
    """One numbered section of the report."""

    id: str
    title: str
    parts: Sequence[Part]
    lead: str = ""
    """One sentence under the title."""
    is_brief: bool = False
    """Whether the Markdown twin shows it."""
    is_folded: bool = False
    """Whether a reader opens it first; a link to it opens it."""

    @property
    def anchor(self) -> str:
        """Where a link to it leads: inside the fold, which a browser then opens."""
        return f"{self.id}-inside" if self.is_folded else self.id


@dataclass(frozen=True)
class Head:
    """What stands over the sections of a page."""

    title: str
    """Name of what is reported."""
    headline: str
    """The one sentence."""
    tone: str
    """`win`, `tie`, `undecided` or `plain`: how the banner is coloured; the words say the same."""
    chips: tuple[str, ...]
    """Outcome and size in a few words."""
    kicker: tuple[str, ...]
    """Where and when, in a few words each; blank ones are left out."""
    branches: tuple[str, ...]
    """In the order of their colours and markers."""
    files: tuple[str, ...]
    """Tables beside the page that hold its numbers."""
    source: str
    """What the page was drawn from."""
