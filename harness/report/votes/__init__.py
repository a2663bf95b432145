"""The page on which listeners vote."""
