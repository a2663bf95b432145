"""The procedural corpus: sound and picture pairs of the user's eight classes, as ordinary files."""
