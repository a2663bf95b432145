"""Profiles: which settings differ from their defaults, for the tiny and the real models."""
