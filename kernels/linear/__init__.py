"""An affine map on the CPU, by the library that is faster there."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import Parameter
from torch.nn import functional as F

from kernels import arguments, backends, onednn
from kernels.exporting import exporting
from kernels.linear import gradients

__all__ = ["linear"]

BACKENDS = ("auto", "torch", "onednn")
# Below, what calls and copies cost outweighs what oneDNN saves: of vectors, and of the longer side of the matrix
# (the shorter one: half as much; as much, where sums are so long that they are cut); products.
ENOUGH, ENOUGH_PRODUCTS = 128, 2**23


def linear(
    x: Float[Tensor, "... K"],
    weight: Float[Tensor, "N K"],
    bias: Float[Tensor, " N"] | None = None,
    *,
    backend: str = "auto",
) -> Float[Tensor, "... N"]:
    """Map vectors affinely: x weight^T + bias.

    Where MKL, which is behind torch's float32 product, does not use AVX-512 although the processor has it, it
    reaches about half the rate of oneDNN, which torch holds too, but calls only for bf16 and compiled code. Which
    of the two is used never depends on a timing: with "auto" it is oneDNN if and only if it is the faster one
    here (`kernels.onednn.faster`: on AMD's processors with AVX-512, and with it where MKL_CBWR=AVX2), all tensors
    are float32 on the CPU and sizes are such that it pays (`pays`). Either gives the same bits from run to run;
    the two differ by roundings (relative error at most 2e-6). The environment variable PLASMODIA_ONEDNN=0
    switches oneDNN off for a whole process. Under autocast it is torch's product, in the dtype that autocast wants.

    Parameters
    ----------
    x
        Vectors, [..., K].
    weight, bias
        The map, [N, K] and [N]; without a bias it is linear.
    backend
        "auto"; "torch"; or "onednn", wherever torch has it, whatever the environment says.

    Raises
    ------
    ValueError
        If ``backend`` is not known; if shapes, dtypes or devices do not fit each other; if the result would take
        more than 16 GiB; if "onednn" is asked for and torch was built without it, or a tensor is not float32 on
        the CPU; if PLASMODIA_ONEDNN is neither 0 nor 1.
    """
    arguments.one_of("backend", backend, BACKENDS)
    fitting(x, weight, bias)
    arguments.allocatable("x", (*x.shape[:-1], len(weight)), x.dtype)
    served = onednn.multiplies(x)
    if backend == "onednn" and not served:
        raise ValueError(
            f"backend 'onednn' needs a torch with oneDNN and float32 on the CPU, but x has {x.dtype} on {x.device}"
            f" and oneDNN is {'there' if onednn.available() else 'missing'}; leave out backend"
        )
    if exporting():
        return F.linear(x, weight, bias)
    products = x.numel() * len(weight)  # none: there is nothing to multiply, and oneDNN refuses it
    chosen = backend == "onednn" or (backend == "auto" and not backends.mixed(x) and pays(x, weight))
    if products and chosen:
        return gradients.linear(x, weight, bias)
    return F.linear(backends.operand(x, weight), weight, bias)


def pays(x: Tensor, weight: Tensor) -> bool:
    """Whether, by their sizes, oneDNN maps x [..., K] by a weight [N, K] faster, and their gradients."""
    narrow, wide = sorted(weight.shape)
    enough = (
        x.numel() >= weight.shape[1] * ENOUGH
        and x.numel() * weight.shape[0] >= ENOUGH_PRODUCTS
        and wide >= ENOUGH
        and narrow >= (ENOUGH // 2 if wide <= onednn.DEPTH else ENOUGH)
    )
    plain = type(weight) in (Tensor, Parameter)  # one of few bits has a product of its own
    return enough and plain and onednn.multiplies(x) and onednn.faster()


def fitting(x: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    """Refuse tensors that do not fit each other.

    Parameters
    ----------
    x
        Vectors, [..., K].
    weight
        Matrix, [N, K].
    bias
        Added to every result, [N]; None: nothing is.

    Raises
    ------
    ValueError
        If shapes, dtypes or devices do not.
    """
    arguments.tensors(x=x, weight=weight, **({} if bias is None else {"bias": bias}))
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
    if backends.mixed(x):
        return  # torch brings them to one dtype
    for name, tensor in (("weight", weight), ("bias", x if bias is None else bias)):
        if (tensor.dtype, tensor.device) != (x.dtype, x.device):
            raise ValueError(
                f"{name} must have the dtype and device of x, {x.dtype} on {x.device}, but it has "
                f"{tensor.dtype} on {tensor.device}"
            )
