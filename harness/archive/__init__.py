"""Archives that are equal to the byte whoever makes them, with a list of hashes inside."""
