"""What is wrong with a file of ours that does not hold what it should, in one clause."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


def first_fault(error: "ValidationError") -> str:
    """Where the first fault is, and what: `cost.seconds: Input should be a valid number`."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}"
