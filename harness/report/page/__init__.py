"""The page engine: content to HTML and Markdown, with media, plots and style."""
