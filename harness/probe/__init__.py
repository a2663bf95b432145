"""What does a branch respond to: one property of a sound is changed at a time, the noise is not."""
