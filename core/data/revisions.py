"""Which code read a folder: a number is raised by hand, and folders are then read again."""

READING = 2
"""Raised when the same folder is read into other items, so that they are made again."""
JUDGING = 3
"""Raised when a change of `decode`, `audio_header` or `near_duplicates` changes an outcome."""
