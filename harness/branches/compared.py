"""Which branches a comparison takes where nobody says. Light: the command line reads it."""

DEFAULT_VARIANTS = "baseline,sonic,cutting_edge"
"""Of a comparison, or of a plan of one."""
