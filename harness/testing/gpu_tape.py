"""CUDA graphs of the GPU that is not there: a tape of operations, played again without Python."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree


class Tape:
    """Operations on tensors of the CPU, which stay where they are, to be done again."""

    def __init__(self) -> None:
        self._entries: list[tuple[Any, Any, Any, list[Tensor]]] = []
        self._before: dict[int, tuple[Any, Any]] = {}
        self._drawn = torch.get_rng_state()

    def recorded(self, func: Any, args: Any, kwargs: Any) -> Any:
        """What the operation makes, once; what it overwrites is kept."""
        if getattr(func, "_schema", None) is not None:
            if func._schema.name == "aten::_local_scalar_dense":
                refuse_while_recording()
            self._keep_overwritten(func, args, kwargs)
        out = func(*args, **kwargs)
        known = {_place(t) for t in pytree.tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        made = [t for t in pytree.tree_leaves(out) if isinstance(t, Tensor)]
        is_view = bool(made) and all(_place(t) in known for t in made) and not _writes(func)
        if not is_view:
            self._entries.append((func, args, kwargs, made))
        return out

    def _keep_overwritten(self, func: Any, args: Any, kwargs: Any) -> None:
        names = [argument.name for argument in func._schema.arguments]
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        for argument in func._schema.arguments:
            if argument.alias_info is None or not argument.alias_info.is_write:
                continue
            for tensor in pytree.tree_leaves(given.get(argument.name)):
                storage = tensor.untyped_storage()
                self._before.setdefault(storage.data_ptr(), (storage, storage.clone()))

    def end(self) -> None:
        """Recording runs nothing: what was overwritten or drawn is as it was."""
        for storage, before in self._before.values():
            storage.copy_(before)
        torch.set_rng_state(self._drawn)

    def play(self) -> None:
        """Do it all again, to the same places."""
        with torch.no_grad():
            for func, args, kwargs, made in self._entries:
                again = [t for t in pytree.tree_leaves(func(*args, **kwargs)) if _is_tensor(t)]
                for tensor, new in zip(made, again, strict=True):
                    if _place(tensor) != _place(new):
                        tensor.copy_(new)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _writes(func: Any) -> bool:
    schema = getattr(func, "_schema", None)
    return schema is not None and bool(schema.is_mutable)


TAPES: list[Tape] = []


def refuse_while_recording() -> None:
    if TAPES:
        raise RuntimeError("operation not permitted when stream is capturing")


class Graph:
    """In place of `torch.cuda.CUDAGraph`."""

    def __init__(self) -> None:
        self.tape: Tape | None = None

    def replay(self) -> None:
        assert self.tape is not None
        self.tape.play()

    def reset(self) -> None:
        self.tape = None


@contextmanager
def recording(graph: Graph) -> Iterator[None]:
    """In place of `torch.cuda.graph`."""
    graph.tape = Tape()
    TAPES.append(graph.tape)
    try:
        yield
    finally:
        TAPES.pop().end()
