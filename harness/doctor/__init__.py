"""What keeps this machine from a run, and the command that mends it."""
