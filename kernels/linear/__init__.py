"""An affine map on the CPU, by the library that is faster there."""

from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from kernels import door
from kernels.linear import onednn

__all__ = ["linear"]

BACKENDS = ("auto", "torch", "onednn")
# Below, what a call through autograd costs from Python outweighs what the library saves.
ENOUGH_PRODUCTS = 2**23


def linear(
    x: Float[Tensor, "... K"],
    weight: Float[Tensor, "N K"],
    bias: Float[Tensor, " N"] | None = None,
    *,
    backend: str = "auto",
) -> Float[Tensor, "... N"]:
    """Map vectors affinely: x weight^T + bias.

    On AMD processors with AVX-512 torch's fp32 product, which is MKL's, reaches less than half the rate of
    oneDNN's, which torch holds too, but calls only for bf16 and compiled code. Which of the two is used never
    depends on a timing: with "auto" it is oneDNN if and only if the processor calls itself AMD and has AVX-512,
    torch has the operation, all tensors are float32 on the CPU and there are at least 2**23 products. Either
    gives the same bits from run to run; the two differ by roundings (relative error at most 2e-6). On other
    processors MKL is as fast, unless MKL_CBWR holds it to AVX2: then "onednn" can pay there too.

    Parameters
    ----------
    x
        Vectors, [..., K].
    weight, bias
        The map, [N, K] and [N]; without a bias it is linear.
    backend
        "auto"; "torch", which switches this off; or "onednn", wherever torch has it.

    Raises
    ------
    ValueError
        If ``backend`` is not known; if shapes, dtypes or devices do not fit each other; if "onednn" is asked for
        and torch was built without it, or a tensor is not float32 on the CPU.
    """
    door.one_of("backend", backend, BACKENDS)
    fitting(x, weight, bias)
    served = onednn.available() and x.dtype == torch.float32 and x.device.type == "cpu"
    if backend == "onednn" and not served:
        raise ValueError(
            f"backend 'onednn' needs a torch with oneDNN and float32 on the CPU, but x has {x.dtype} on {x.device}"
            f" and oneDNN is {'there' if onednn.available() else 'missing'}; leave out backend"
        )
    products = x.numel() * len(weight)  # none: there is nothing to multiply, and oneDNN refuses it
    pays = products >= ENOUGH_PRODUCTS and faster_by_onednn()
    if products and (backend == "onednn" or (backend == "auto" and served and pays)):
        return onednn.linear(x, weight, bias)
    return F.linear(x, weight, bias)


def fitting(x: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    """Refuse tensors that do not fit each other.

    Raises
    ------
    ValueError
        If shapes, dtypes or devices do not.
    """
    if not x.is_floating_point():
        raise ValueError(f"x must hold floating-point numbers, but its dtype is {x.dtype}")
    if weight.ndim != 2 or x.ndim < 1 or x.shape[-1] != weight.shape[1]:
        raise ValueError(
            f"weight must be [N, K] for x [..., K], but it is {list(weight.shape)} for {list(x.shape)}"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(
            f"bias must be [N] for weight [N, K], but it is {list(bias.shape)} for {list(weight.shape)}"
        )
    for name, tensor in (("weight", weight), ("bias", x if bias is None else bias)):
        if (tensor.dtype, tensor.device) != (x.dtype, x.device):
            raise ValueError(
                f"{name} must have the dtype and device of x, {x.dtype} on {x.device}, but it has "
                f"{tensor.dtype} on {tensor.device}"
            )


@cache
def faster_by_onednn() -> bool:
    """Say whether this is an AMD processor with AVX-512, as the processor itself tells."""
    tell = getattr(torch.cpu, "get_capabilities", None)
    told = tell() if tell is not None else {}
    return str(told.get("cpu_name", "")).startswith("AMD") and bool(told.get("avx512_f", False))
