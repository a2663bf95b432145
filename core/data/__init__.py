"""Media files -> clean manifest -> locked balanced split -> cached features -> batches."""
