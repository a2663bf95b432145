"""Named randomness: every draw is a pure function of a seed and a name.

`rng(seed, "noise", stage, step, slot)` gives the same stream in every process, for any number
of workers and after any resume, because no state is carried from one draw to the next. All
branches therefore see the same order, timesteps and noise under one seed.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

Name = str | int


def _digest(seed: int, name: Sequence[Name]) -> bytes:
    # The type is part of the key: rng(0, "1") and rng(0, 1) are different streams.
    parts = [f"{type(part).__name__}:{part}" for part in (seed, *name)]
    return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=16).digest()


def rng(seed: int, *name: Name) -> "np.random.Generator":
    """A fresh generator (Philox, counter-based) for this seed and name."""
    import numpy as np

    key = np.frombuffer(_digest(seed, name), dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))


def normal(shape: Sequence[int], *, seed: int, name: Sequence[Name]) -> "Tensor":
    """Standard normal float32 tensor of `shape`, on the CPU."""
    import numpy as np
    import torch  # seconds, which drawing an order of clips does not need

    return torch.from_numpy(rng(seed, *name).standard_normal(tuple(shape), dtype=np.float32))


@contextmanager
def torch_seeded(seed: int, *name: Name) -> Iterator[None]:
    """Run a block with torch's own generators (dropout, layer initialisation) set by name.

    The generators' previous state is put back on leaving, so nothing outside is seeded.
    """
    import torch

    value = int.from_bytes(_digest(seed, name)[:8], "little") >> 1
    # Of the GPU in use alone: forking every visible one opens a context on each.
    in_use = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=in_use):
        if torch.cuda.is_available():
            torch.manual_seed(value)
        else:
            # The above also notes the seed for devices that never wake, each with a traceback of
            # this call: milliseconds a step.
            torch.default_generator.manual_seed(value)
        yield
