"""A run's curves and scores, copied to the tracker that a group already looks at."""
