"""What no decode can tell: labels, leaks between splits, official test clips, likely mistakes."""
