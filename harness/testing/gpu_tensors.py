"""Tensors that say `cuda`, and what a GPU would refuse to do with them."""

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import return_and_correct_aliasing

from harness.testing.gpu_tape import TAPES, refuse_while_recording

GPU = torch.device("cuda", 0)
_CPU = torch.device("cpu")
_HOST_GENERATOR = torch.Generator
_OF_TWO_DEVICES = {"copy_", "index", "index_put_", "index_put", "_index_put_impl_"}
"""Operations that take tensors of two devices on a real GPU too; indices may be the CPU's."""
_UNREPEATABLE = {
    "_adaptive_avg_pool2d_backward",
    "_adaptive_avg_pool3d_backward",
    "_ctc_loss_backward",
    "_upsample_bicubic2d_aa_backward",
    "_upsample_bilinear2d_aa_backward",
    "adaptive_max_pool2d_backward",
    "avg_pool3d_backward",
    "bincount",
    "cumsum",
    "cumsum_",
    "fractional_max_pool2d_backward",
    "fractional_max_pool3d_backward",
    "grid_sampler_2d_backward",
    "grid_sampler_3d_backward",
    "histc",
    "max_unpool2d",
    "max_unpool3d",
    "median",
    "nll_loss2d_forward",
    "put",
    "put_",
    "reflection_pad1d_backward",
    "reflection_pad2d_backward",
    "reflection_pad3d_backward",
    "upsample_bicubic2d_backward",
    "upsample_bilinear2d_backward",
    "upsample_linear1d_backward",
    "upsample_trilinear3d_backward",
}
"""What `torch.use_deterministic_algorithms` (2.13) says is an error on CUDA, by ATen's names."""


class OnGpuError(Exception):
    """What a GPU would refuse."""


class _RefusedError(OnGpuError, RuntimeError):
    """As torch's own, which is a RuntimeError."""


class _HostOnlyError(OnGpuError, TypeError):
    """Likewise, a TypeError."""


class OnGpu(Tensor):
    """A tensor that says that it is on a GPU; to torch's C++ it is one of the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "OnGpu":
        return torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device=_CPU,
        )

    def __init__(self, held: Tensor) -> None:
        self.held = held.detach()

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in _SAID:
            return _SAID[func]
        if func in (Tensor.numpy, Tensor.__array__):
            raise _HostOnlyError(
                "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first"
            )
        if func is Tensor.tolist:
            return _to_cpu(args[0]).tolist()
        if func == _SET_DATA and isinstance(args[1], OnGpu):
            args[0].held = args[1].held
        with torch._C.DisableTorchFunctionSubclass():  # else what is on the CPU would become one
            return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.removeprefix("aten::")
        if name not in _OF_TWO_DEVICES:
            _require_one_device(name, (args, kwargs))
        if torch.are_deterministic_algorithms_enabled() and _is_unrepeatable(name, func, args):
            raise _RefusedError(f"{name}_cuda does not have a deterministic implementation")
        plain_args, plain_kwargs = pytree.tree_map(_held, args), pytree.tree_map(_held, kwargs)
        if TAPES:
            out = TAPES[-1].recorded(func, plain_args, plain_kwargs)
        else:
            out = func(*plain_args, **plain_kwargs)
        if name == "copy_" and not isinstance(args[0], OnGpu):
            return args[0]
        return return_and_correct_aliasing(func, args, kwargs, pytree.tree_map(_wrapped, out))


_SET_DATA = Tensor.data.__set__  # type: ignore[attr-defined]
_SAID = {
    Tensor.device.__get__: GPU,
    Tensor.is_cuda.__get__: True,  # type: ignore[attr-defined]
    Tensor.is_cpu.__get__: False,  # type: ignore[attr-defined]
}


def _require_one_device(name: str, values: Any) -> None:
    for leaf in pytree.tree_leaves(values):
        if not isinstance(leaf, Tensor) or isinstance(leaf, OnGpu) or leaf.ndim == 0:
            continue
        # In a backward pass torch's C++ makes zeros where it takes the tensors to be.
        if torch._C._current_autograd_node() is not None and not bool(leaf.any()):
            continue
        raise _RefusedError(
            f"Expected all tensors to be on the same device, but {name} got one of shape "
            f"{list(leaf.shape)} on the CPU and others on cuda:0"
        )


def _is_unrepeatable(name: str, func: Any, args: tuple[Any, ...]) -> bool:
    if name not in _UNREPEATABLE:
        return False
    if name in ("cumsum", "cumsum_"):
        return bool(args[0].is_floating_point())
    if name == "median":  # without its place it has one
        return "dim" in func._overloadname
    if name == "bincount":
        return len(args) > 1 and args[1] is not None
    return True


def _held(value: Any) -> Any:
    return value.held if isinstance(value, OnGpu) else value


def _wrapped(value: Any) -> Any:
    is_plain = isinstance(value, Tensor) and not isinstance(value, OnGpu)
    return OnGpu(value) if is_plain else value


class _ToGpu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        return OnGpu(tensor.detach().clone())

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return _to_cpu(grads[0])


class _ToCpu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        held: Tensor = _held(tensor)
        return held.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return _to_gpu(grads[0])


def _to_gpu(tensor: Tensor) -> Tensor:
    if not isinstance(tensor, OnGpu):
        refuse_while_recording()
    return tensor if isinstance(tensor, OnGpu) else _ToGpu.apply(tensor)  # type: ignore[no-untyped-call]


def _to_cpu(tensor: Tensor) -> Tensor:
    if isinstance(tensor, OnGpu):
        refuse_while_recording()
    return _ToCpu.apply(tensor) if isinstance(tensor, OnGpu) else tensor  # type: ignore[no-untyped-call]


class PutWhereAsked(TorchFunctionMode):
    """Leads `.to`, `.cpu`, `.cuda` and what makes tensors on a device to the pretended one."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = {name: v for name, v in (kwargs or {}).items() if name != "pin_memory"}
        _require_fitting_generator(args, kwargs)
        if func is Tensor.cpu:
            return _to_cpu(args[0])
        if func is Tensor.cuda:
            return _to_gpu(args[0])
        if func is Tensor.to:
            return _moved(*args, **kwargs)
        if func is Tensor.pin_memory:
            return args[0]
        if _is_gpu(kwargs.get("device")):
            return _made_there(func, args, {**kwargs, "device": _CPU})
        return func(*args, **kwargs)


def _require_fitting_generator(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    generator = kwargs.get("generator")
    if generator is None or isinstance(generator, GpuGenerator):
        return
    if _is_gpu(kwargs.get("device")) or any(isinstance(value, OnGpu) for value in args):
        raise _RefusedError("Expected a 'cuda' device type for generator but found 'cpu'")


def _is_gpu(value: Any) -> bool:
    if isinstance(value, Tensor):
        return isinstance(value, OnGpu)
    return isinstance(value, str | torch.device) and torch.device(value).type == "cuda"


def _made_there(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    has_gradient = kwargs.pop("requires_grad", False)
    if TAPES and func not in (torch.tensor, torch.as_tensor):
        # A kernel fills it: with the same, or with other random numbers, at each replay.
        made = OnGpu(TAPES[-1].recorded(func, args, kwargs))
    else:
        refuse_while_recording()
        made = OnGpu(func(*args, **kwargs))
    return made.requires_grad_() if has_gradient else made


def _moved(tensor: Tensor, *words: Any, **settings: Any) -> Tensor:
    """`Tensor.to` by a device, a type, both, or another tensor."""
    asked = [*words, settings.pop("device", None), settings.pop("other", None)]
    settings.pop("non_blocking", None)
    for word in asked:
        if isinstance(word, str | torch.device | Tensor):
            tensor = (_to_gpu if _is_gpu(word) else _to_cpu)(tensor)
        if isinstance(word, torch.dtype):
            settings["dtype"] = word
        if isinstance(word, Tensor):
            settings["dtype"] = word.dtype
    return tensor if not settings else Tensor.to(tensor, **settings)


class GpuGenerator(_HOST_GENERATOR):
    """A generator of the GPU's."""

    def __new__(cls, device: Any = "cpu") -> Any:
        return super().__new__(cls) if _is_gpu(device) else _HOST_GENERATOR(device)

    def __init__(self, device: Any = "cuda") -> None:
        """Seeded as torch does."""
