"""A local page on which a recorded or dropped sound is answered by several branches."""
