"""The report of a comparison, from records on disk and nothing else."""
