"""From a manifest to a clean manifest: what stays, what is left out, and why."""
