"""Run folders in a place that is not a shared folder."""
