"""Records as text on a terminal."""
