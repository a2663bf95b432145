"""Guided sampling of any variant."""
