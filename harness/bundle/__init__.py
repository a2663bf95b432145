"""A comparison's evidence in one file, and what follows from it, computed again."""
