"""One module a group of commands; heavy imports stay inside the functions."""
