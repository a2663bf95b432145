"""Everything below `results/`: what is written, under which name, and how it is read again."""
