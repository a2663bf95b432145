"""The frozen networks that score, loaded and identified."""
