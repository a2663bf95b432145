"""What a rented machine needs, in one file, and the script that goes on there."""
