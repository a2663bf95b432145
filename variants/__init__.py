"""The built-in branches. Each imports `core` and itself, never another, never `harness`."""
