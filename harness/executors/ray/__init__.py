"""Runs as tasks of a Ray cluster."""
