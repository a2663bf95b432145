"""What a GPU refuses to compute, as a sentence: torch names the operation, and not the remedy."""

_UNREPEATABLE = "does not have a deterministic implementation"
_TWO_DEVICES = "Expected all tensors to be on the same device"
_GENERATOR = "device type for generator"
_NUMPY = "device type tensor to numpy"


def refused_on_gpu(error: BaseException) -> str | None:
    """What is wrong and what to do; None for an error of another kind."""
    said = (str(error).splitlines() or [""])[0].rstrip(".")
    if _UNREPEATABLE in said:
        return (
            f"{said.split()[0]} has no deterministic form on a GPU: compute it by other "
            "operations, or train all branches with --set training.deterministic=false, which "
            "makes pairing by seed approximate"
        )
    if _TWO_DEVICES in said or _GENERATOR in said or _NUMPY in said:
        return (
            f"{said}. What a variant keeps has to be a parameter or a buffer (register_buffer), "
            "what it makes has to be made on the device of its inputs"
        )
    return None
