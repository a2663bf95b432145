"""One way to write a name, a number, a duration and a count."""
