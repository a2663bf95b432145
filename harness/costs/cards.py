"""Graphics cards: what they can, hold and cost an hour, from an editable file."""

import re
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from core.choices import Precision
from core.errors import UsageError, suggestion
from core.text import read_text
from harness.settings.load import parse_settings

ALL = "all"


class Card(BaseModel):
    """One kind of graphics card."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    memory_gb: float = Field(gt=0)
    """Memory, 10^9 bytes."""
    bandwidth_gb_s: float = Field(gt=0)
    """Of its memory, 10^9 bytes a second."""
    bf16_tflops: float = Field(ge=0)
    """Dense matrix products in bfloat16; 0 where it has none."""
    fp16_tflops: float = Field(ge=0)
    """Dense matrix products in float16."""
    fp32_tflops: float = Field(gt=0)
    """Float32 without tensor cores."""
    price_per_hour: float | None = Field(default=None, ge=0)
    """US dollars an hour; None where nobody wrote one down."""

    def tflops(self, precision: Precision) -> float:
        """Peak in the arithmetic of a run; 0 where the card has no units for it."""
        return {
            Precision.BFLOAT16: self.bf16_tflops,
            Precision.FLOAT16: self.fp16_tflops,
            Precision.FLOAT32: self.fp32_tflops,
        }[precision]


class Cards(BaseModel):
    """The cards of a file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dated: str = ""
    """When its numbers were written down, ISO 8601."""
    cards: dict[str, Card]
    """By name."""

    def chosen(self, names: str) -> dict[str, Card]:
        """The cards of `all`, or of a name or several, comma-separated; `4090` names `RTX 4090`.

        Raises:
            UsageError: an unknown name.
        """
        if names.strip().lower() == ALL:
            return dict(self.cards)
        found = {}
        for word in filter(None, (part.strip() for part in names.split(","))):
            name = next((n for n in self.cards if _short(n) == _short(word)), None)
            if name is None:
                known = [*self.cards, ALL]
                raise UsageError(
                    f"no card named '{word}'; known: {', '.join(known)}{suggestion(word, known)}; "
                    "others go into a file for --cards"
                )
            found[name] = self.cards[name]
        if not found:
            raise UsageError("--gpu names no card; name one, or all")
        return found

    def of_device(self, device: str) -> str | None:
        """The card that a driver calls `device`, such as `NVIDIA GeForce RTX 4090`; None if none.

        A name counts as a whole: an A100 is not an A10, and a 3060 Ti is not a 3060.
        """
        words = re.sub(r"[^a-z0-9]+", " ", device.lower())
        fitting = [name for name in self.cards if re.search(_whole(name), words)]
        return max(fitting, key=len, default=None)


def load_cards(path: Path | None = None) -> Cards:
    """The cards that ship, with those of a file on top, key by key.

    Raises:
        UsageError: the file is not there, not TOML, or lacks what a new card needs.
    """
    shipped = tomllib.loads((files("harness.costs") / "cards.toml").read_text(encoding="utf-8"))
    if path is None:
        return Cards.model_validate(shipped)
    try:
        own = tomllib.loads(read_text(path))
    except OSError as error:
        raise UsageError(f"no file of cards at {path} ({error.strerror})") from None
    except ValueError as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from None
    added = own.get("cards", {})
    if not isinstance(added, Mapping):
        raise UsageError(
            f'{path} sets cards to {added!r}; expected a table a card, such as [cards."RTX 3060"]'
        )
    cards: dict[str, Any] = dict(shipped["cards"])
    for name, values in added.items():
        before = cards.get(name, {})
        cards[name] = {**before, **values} if isinstance(values, Mapping) else values
    merged = {**shipped, **own, "cards": cards}
    return parse_settings(Cards, merged, what=f"card setting in {path}:")


def _whole(name: str) -> str:
    return rf"\b{re.escape(name.lower())}\b(?! (?:ti|super|d|laptop|mobile)\b)"


def _short(name: str) -> str:
    bare = re.sub(r"[^a-z0-9]", "", name.lower())
    return bare.removeprefix("nvidia").removeprefix("geforce").removeprefix("rtx")
