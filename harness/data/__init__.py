"""What `harness data` does: sources, cleaning, splits, audits and the feature cache."""
