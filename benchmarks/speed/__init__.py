"""One table of speed: what the harness costs beside what one would use instead."""
