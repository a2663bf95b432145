"""Lets torch note its constructors before transformers replaces one of them for a while."""

from functools import cache

import torch


@cache
def note_constructors() -> None:
    """Make `with torch.device(...)` hold for `torch.linspace` after transformers loads a model.

    torch lists what such a context redirects when the first one is entered. While it loads a model
    transformers (`meta_device_safe_creation_ops`, 5.x) has another function under that name; listed
    then, the real one would ever after ignore the context, and a branch that calls it could not be
    counted on the meta device.
    """
    with torch.device("cpu"):
        torch.empty(0)
