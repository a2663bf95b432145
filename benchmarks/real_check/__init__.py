"""Real recordings, photographs and encoders, out of package archives: `make real-check`."""
