"""The command line: the one place that acts and then draws."""
