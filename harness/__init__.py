"""What compares: command line, runs, records, metrics, statistics, reports."""
