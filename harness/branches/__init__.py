"""The variants there are, what they train, and how a new one begins."""
