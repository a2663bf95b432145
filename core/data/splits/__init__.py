"""From a clean manifest to a lock: train, validation and test, balanced and verified."""
