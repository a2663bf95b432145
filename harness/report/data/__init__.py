"""What cleaning found, as one page to look at and listen to."""
