"""Listeners' votes: what is asked, what a listener answered, and what may be said of it."""
