"""What of a set of captions its text encoder does not read: it cuts long ones without a word."""

import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from core.text import look

_NUM_CHARACTERS_NAMED = 8


def caption_notices(captions: Mapping[str, str], *, tokenizer: Any) -> tuple[str, ...]:
    """Sentences on captions (by id) that are cut, that become equal, or that it has no words for.

    tokenizer: of the text encoder; CLIP's takes letters that it does not know byte by byte.
    """
    if not captions:
        return ()
    limit = int(tokenizer.model_max_length)
    texts = sorted(set(captions.values()))
    # Whole, so that it can be counted; what is over the limit is cut where the text is encoded.
    encoded = tokenizer(texts, truncation=False, verbose=False).input_ids
    tokens = dict(zip(texts, encoded, strict=True))
    notices = []
    cut = [id_ for id_, text in captions.items() if len(tokens[text]) > limit]
    if cut:
        notices.append(
            f"{len(cut)} of {len(captions)} captions are longer than the {limit} tokens that the "
            f"text encoder reads, such as that of {cut[0]!r} with {len(tokens[captions[cut[0]]])}; "
            "the rest of each is not read"
        )
    notices += _alike(captions, tokens, limit=limit)
    lacking = _lacking(texts, tokenizer=tokenizer)
    if lacking:
        holding = [id_ for id_, text in captions.items() if not lacking.isdisjoint(text)]
        shown = " ".join(sorted(lacking)[:_NUM_CHARACTERS_NAMED])
        notices.append(
            f"{len(holding)} of {len(captions)} captions, such as that of {holding[0]!r}, hold "
            f"letters for which the text encoder's vocabulary has no token ({shown}); it spells "
            "them in bytes and has hardly learned what they mean: caption in its language"
        )
    return tuple(notices)


def _alike(
    captions: Mapping[str, str], tokens: Mapping[str, Sequence[int]], *, limit: int
) -> list[str]:
    """A sentence on captions that differ by more than case and blanks, and are read as one."""
    first: dict[str, str] = {}
    for id_, text in captions.items():
        first.setdefault(text, id_)
    groups: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for text in first:
        own = tokens[text]
        # The last token of a cut text is the end, as of a whole one.
        groups[(*own[: limit - 1], own[-1]) if len(own) > limit else tuple(own)].append(text)
    alike = [group for group in groups.values() if len({look(text) for text in group}) > 1]
    if not alike:
        return []
    texts = {text for group in alike for text in group}
    num = sum(text in texts for text in captions.values())
    names = " and ".join(repr(first[text]) for text in alike[0][:2])
    return [
        f"{num} of {len(captions)} captions are read as another's, though they differ, such as "
        f"those of {names}: the text encoder cannot tell them apart"
    ]


def _lacking(texts: Sequence[str], *, tokenizer: Any) -> set[str]:
    """The letters beyond ASCII that have no token of their own."""
    letters = sorted(
        {c for text in texts for c in text if not c.isascii() and unicodedata.category(c)[0] == "L"}
    )
    if not letters:
        return set()
    encoded = tokenizer(letters, add_special_tokens=False).input_ids
    unknown = tokenizer.unk_token_id
    return {c for c, own in zip(letters, encoded, strict=True) if len(own) != 1 or unknown in own}
