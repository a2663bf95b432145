"""Words and numbers of a report."""

from collections.abc import Callable
from typing import Any

import pytest

from harness.wording.numbers import digits_for, duration, number, plain, probability


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("two\nlines", "two lines"),
        ("bell\x07", "bell\ufffd"),
        ("turned\u202egpj", "turned\ufffdgpj"),
        ("half\udcff", "half\ufffd"),
        ("hid\u200bden", "hid\ufffdden"),
        ("été 雨", "été 雨"),
    ],
)
def test_names_cannot_hide_or_turn_text(given: str, shown: str) -> None:
    """Catches: control and direction characters, and bytes that no encoding takes."""
    assert plain(given) == shown


@pytest.mark.parametrize(
    ("show", "shown"),
    [
        (lambda: number(None), ""),
        (lambda: number(float("nan")), ""),
        (lambda: number(0.12345), "0.123"),
        (lambda: number(-0.0001), "0.000"),
        (lambda: number(-3.14159, digits=2), "\u22123.14"),
        (lambda: number(12345.6), "12,346"),
        (lambda: number(2e-9), "2.0e-09"),
        (lambda: number(-4.1e-19, signed=True), "+0.000"),
        (lambda: number(0.5, signed=True), "+0.500"),
        (lambda: digits_for([0.1, 150.0]), 1),
        (lambda: probability(0.0004), "<\u202f0.001"),
        (lambda: duration(75), "75 s"),
        (lambda: duration(600), "10.0 min"),
        (lambda: duration(7_200), "2.00 h"),
    ],
)
def test_numbers_have_sensible_digits(show: Callable[[], Any], shown: Any) -> None:
    """Catches: a minus before zero, twelve digits, a nan in a table."""
    assert show() == shown
