"""A probe, drawn: strips of images, a plot, a page."""
