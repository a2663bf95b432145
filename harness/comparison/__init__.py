"""Comparisons: which runs, whether they may be compared, what may be said of them.

A comparison reads records and nothing else; the runs are processes of `harness run`.
"""
