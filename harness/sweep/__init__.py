"""Sweeps: a branch's settings are searched on the validation clips, fairly and resumably."""
