"""The one staged training loop, its guards and checkpoints."""
