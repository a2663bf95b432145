"""The procedural corpus: sound and picture pairs of the user's eight classes, as ordinary files."""

from core.embedded.corpus.classes import ATTRIBUTES, CLASS_COUNTS, CLASSES, Attributes, caption
from core.embedded.corpus.files import write_corpus
from core.embedded.corpus.pairs import Pair, make_pair, pair_attributes, pair_clip, pair_image
from core.embedded.corpus.picture import draw_image
from core.embedded.corpus.sound import DURATION_S, SAMPLE_RATE_HZ, synthesise_clip

__all__ = [
    "ATTRIBUTES",
    "CLASSES",
    "CLASS_COUNTS",
    "DURATION_S",
    "SAMPLE_RATE_HZ",
    "Attributes",
    "Pair",
    "caption",
    "draw_image",
    "make_pair",
    "pair_attributes",
    "pair_clip",
    "pair_image",
    "synthesise_clip",
    "write_corpus",
]
