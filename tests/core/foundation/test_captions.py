"""Captions that a text encoder does not read as they are written."""

import pytest

from core.foundation.captions import caption_notices
from core.foundation.foundation import Foundation


@pytest.fixture(scope="module")
def tokenizer():
    foundation = Foundation(stable_diffusion="embedded:stable_diffusion", clap="embedded:clap")
    return foundation.tokenizer


def test_captions_that_are_read_whole_and_apart_are_not_remarked_on(tokenizer):
    """Catches: a notice for every data set, which nobody reads any more."""
    captions = {"a": "A scene with rain sound", "b": "a scene with  Rain sound", "c": "thunder"}
    assert caption_notices(captions, tokenizer=tokenizer) == ()
    assert caption_notices({}, tokenizer=tokenizer) == ()


def test_captions_that_are_cut_and_become_equal_are_counted(tokenizer):
    """Catches: three classes whose captions differ behind the last token, trained as one text."""
    head = "a scene with " * 12
    captions = {f"{name}{k}": f"{head} {name}" for name in ("rain", "dog") for k in range(3)}
    captions["short"] = "rain"
    cut, alike = caption_notices(captions, tokenizer=tokenizer)
    assert cut.startswith("6 of 7 captions are longer than the 24 tokens")
    assert "'rain0' with 39" in cut
    assert alike.startswith("6 of 7 captions are read as another's")
    assert "'rain0' and 'dog0'" in alike


def test_the_last_token_that_is_read_is_counted_right(tokenizer):
    """Catches: a limit that forgets the marks of start and end."""
    fits = " ".join(["rain"] * 22)
    assert caption_notices({"a": fits}, tokenizer=tokenizer) == ()
    (cut,) = caption_notices({"a": fits + " rain"}, tokenizer=tokenizer)
    assert "'a' with 25" in cut
    _, alike = caption_notices({"a": fits + " rain", "b": fits}, tokenizer=tokenizer)
    assert "'a' and 'b'" in alike


def test_letters_without_a_token_are_named(tokenizer):
    """Catches: Korean captions for an encoder that knows no Korean, without a word."""
    captions = {"a": "rain", "b": "비 소리"}
    (notice,) = caption_notices(captions, tokenizer=tokenizer)
    assert notice.startswith("1 of 2 captions, such as that of 'b'")
    assert "(리 비 소)" in notice
