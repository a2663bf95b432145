"""Sources of every kind become one manifest; one module a kind."""
