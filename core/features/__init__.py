"""Cached tensors of a locked split: what the frozen encoders make of its sounds and pictures."""
