"""Whose tasks can be written; light to import."""

from enum import StrEnum


class Cloud(StrEnum):
    """Whose task is written."""

    RUNPOD = "runpod"
    SKYPILOT = "skypilot"
    SHELL = "shell"
