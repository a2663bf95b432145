"""The report of a sweep: one HTML page, a Markdown twin, every trial as a row."""
