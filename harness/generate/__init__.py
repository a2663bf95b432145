"""Images from any sound by trained branches, at the same noise, each repeatable to the bit."""
