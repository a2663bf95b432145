"""Tokenizers of the real classes with a vocabulary learned from the captions' few words.

Every byte is in the vocabulary, so any text can be encoded, only longer.
"""

import itertools
from collections import Counter
from collections.abc import Iterable

from transformers import CLIPTokenizer, RobertaTokenizer

from core.embedded.recipes.words import HEARD, SEEN

MAX_LENGTH = 24

Symbols = tuple[str, ...]


def byte_symbols() -> list[str]:
    """The 256 printable stand-ins for bytes that GPT-2's byte-level BPE uses, in byte order.

    Radford et al. 2019: printable bytes stand for themselves, the rest follow from U+0100 on.
    """
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    spare = itertools.count(256)
    return [chr(byte) if byte in printable else chr(next(spare)) for byte in range(256)]


def learn_merges(words: Iterable[Symbols]) -> list[tuple[str, str]]:
    """Byte-pair encoding (Sennrich et al. 2016) until each word is one symbol.

    Ties go to the pair that sorts first, so the result depends on the set of words alone.
    """
    pending = sorted(set(words))
    merges: list[tuple[str, str]] = []
    while True:
        pairs = Counter(pair for word in pending for pair in itertools.pairwise(word))
        if not pairs:
            return merges
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        pending = [_merge(word, best) for word in pending]


def _merge(word: Symbols, pair: tuple[str, str]) -> Symbols:
    merged: list[str] = []
    for symbol in word:
        if merged and (merged[-1], symbol) == pair:
            merged[-1] = merged[-1] + symbol
        else:
            merged.append(symbol)
    return tuple(merged)


def _words() -> set[str]:
    texts = itertools.chain(SEEN.texts(), HEARD.texts())
    return {word for text in texts for word in text.replace(",", " ,").split()}


def clip_tokenizer() -> CLIPTokenizer:
    """CLIP's kind: lower case, words closed by `</w>`, padded with the end token."""
    ends = [(*word[:-1], word[-1] + "</w>") for word in (w.lower() for w in _words())]
    merges = learn_merges(ends)
    symbols = byte_symbols()
    tokens = [*symbols, *(symbol + "</w>" for symbol in symbols), *(a + b for a, b in merges)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(
        vocab={token: k for k, token in enumerate(dict.fromkeys(tokens))},
        merges=merges,  # type: ignore[arg-type]  # pairs, whatever its annotation says
        model_max_length=MAX_LENGTH,
    )


def roberta_tokenizer() -> RobertaTokenizer:
    """RoBERTa's kind, as CLAP has: case kept, a word's leading space is its first symbol."""
    words = [tuple(word) for word in _words()]
    merges = learn_merges([*words, *(("Ġ", *word) for word in words)])
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *byte_symbols(), *(a + b for a, b in merges)]
    tokens.append("<mask>")
    return RobertaTokenizer(
        vocab={token: k for k, token in enumerate(dict.fromkeys(tokens))},
        merges=merges,  # type: ignore[arg-type]  # pairs, whatever its annotation says
        model_max_length=MAX_LENGTH,
    )
