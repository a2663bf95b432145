"""What does a branch hear: one property of a sound is changed at a time, the noise is not."""
