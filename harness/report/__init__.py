"""Reports of comparisons and runs, from records on disk and nothing else.

Imports nothing: other pages take the figures and the words without the rest.
"""
