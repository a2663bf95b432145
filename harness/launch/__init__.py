"""A pack as the task of a cloud: what is to be rented, what it does, how it is stopped."""
