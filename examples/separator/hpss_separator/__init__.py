"""A separator for branch-harness."""

from core.foundation.separators import Separator
from hpss_separator.hpss import SOURCES, separate

SEPARATOR = Separator(num_sources=len(SOURCES), separate=separate)
