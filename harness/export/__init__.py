"""A trained branch as a folder that plain diffusers loads, without this package."""
