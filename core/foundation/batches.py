"""Work in batches that shrink where the memory runs out."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

Item = TypeVar("Item")
Made = TypeVar("Made")


class BatchLimit:
    """The most items that are worked on at once; it halves by itself and says so once.

    A batch's size changes roundings and nothing else, and hours of training must not be lost to it.
    """

    def __init__(self, what: str, *, size: int, say: Callable[[str], None]) -> None:
        """what: the work, for the sentence. size: of the first batch. say: takes the sentence."""
        self.size = size
        self._what = what
        self._first = size
        self._say = say

    def over(
        self, items: Sequence[Item], *, work: Callable[[Sequence[Item]], Made]
    ) -> Iterator[tuple[Sequence[Item], Made]]:
        """Each batch of the items with what `work` makes of it, in order.

        Raises:
            torch.OutOfMemoryError: one item alone is too much.
        """
        start = 0
        while start < len(items):
            batch = items[start : start + self.size]
            made = self._try(work, batch)
            if made is None:  # outside the handler, which keeps what the failed work allocated
                self._halve(len(batch))
                continue
            yield batch, made
            start += len(batch)

    def _try(self, work: Callable[[Sequence[Item]], Made], batch: Sequence[Item]) -> Made | None:
        """What the work makes; None where the memory does not hold the batch."""
        try:
            return work(batch)
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
            return None

    def _halve(self, tried: int) -> None:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if self.size == self._first:
            self._say(
                f"the memory does not hold {tried} at once while {self._what}: smaller batches are "
                "used from here on, which changes roundings only"
            )
        self.size = max(1, tried // 2)
