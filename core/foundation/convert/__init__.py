"""Published checkpoints, read safely and turned into folders of ours, nothing guessed."""
