"""Trials on disk: studies, the storage they live in, and how processes share them."""
