"""What goes on in a results folder, read from its files, from any terminal."""
