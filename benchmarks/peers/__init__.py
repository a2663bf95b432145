"""Our encoders and scorers against the packages they stand for: `make peers`."""
