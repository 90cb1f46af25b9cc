"""Operations for N towers at once: tensors carry the towers in front, [N, ...], unless all towers have the same.

Each function returns what N single operations return, stacked. W [N, P, D] stands for N matrices, b [N, P] for biases.
"""

import operator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kernels import onednn
from kernels.backends import mixed
from kernels.grouped_gemm import grouped_gemm
from kernels.linear import linear, pays
from organisms.towers.wide.operations.products import Products, products

# Modules and functions that act on each number by itself: what holds for one tower holds for the stack.
ELEMENTWISE_MODULES = (
    *(nn.Identity, nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.Mish, nn.ELU, nn.CELU, nn.SELU, nn.LeakyReLU),
    *(
        nn.Tanh,
        nn.Sigmoid,
        nn.LogSigmoid,
        nn.Softplus,
        nn.Softsign,
        nn.Hardtanh,
        nn.Hardswish,
        nn.Hardsigmoid,
    ),
)
ELEMENTWISE_FUNCTIONS = frozenset(
    {
        *(torch.add, torch.sub, torch.mul, torch.div, torch.neg, torch.exp, torch.sin, torch.cos, torch.sqrt),
        *(torch.relu, torch.tanh, torch.sigmoid, torch.abs, torch.square),
        *(F.relu, F.gelu, F.silu, F.tanh, F.sigmoid, F.elu, F.leaky_relu, F.softplus, F.mish),
        *(operator.add, operator.sub, operator.mul, operator.truediv, operator.neg),
    }
)
ELEMENTWISE_METHODS = frozenset(
    {"add", "sub", "mul", "div", "neg", "exp", "relu", "tanh", "sigmoid", "abs", "square"}
)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def wide_linear(x: Tensor, weight: Tensor, bias: Tensor | None, batched: bool) -> Tensor:
    """Return N affine maps: of one x [..., D] by one product with [N P, D], else of x [N, ..., D] by N.

    Parameters
    ----------
    x
        The input, with the towers in front if `batched`.
    weight, bias
        W [N, P, D] and b [N, P].
    batched
        Whether each tower has its own x.
    """
    number, width = weight.shape[:2]
    if batched and x.ndim == 3:
        return _products(x, weight, bias)
    if batched:
        rows = x.reshape(number, -1, x.shape[-1])
        return _products(rows, weight, bias).view(*x.shape[:-1], width)
    if x.device.type == "cpu" and not torch.compiler.is_compiling() and not _by_onednn(x, weight):
        # Joint rows would lie apart for each tower, which all that follows pays for.
        rows = x.reshape(1, -1, x.shape[-1]).expand(number, -1, -1)
        return _products(rows, weight, bias).view(number, *x.shape[:-1], width)
    product = F.linear if torch.compiler.is_compiling() else linear  # a compiler chooses by itself
    y = product(x, weight.flatten(0, 1), None if bias is None else bias.flatten())
    return y.unflatten(-1, (number, width)).movedim(-2, 0)


def _products(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return rows [N, M, D] times the matrices [N, P, D]; by oneDNN where it is the faster one for each of them."""
    if rows.shape[1] and _by_onednn(rows, weight) and pays(rows[0], weight[0]):
        ends = rows.shape[1] * torch.arange(1, len(weight) + 1, device=rows.device)
        y = grouped_gemm(rows.flatten(0, 1), weight.mT, ends).view(len(weight), rows.shape[1], -1)
        return y if bias is None else y + bias.unsqueeze(1)
    if torch.compiler.is_compiling() or mixed(rows) or not torch.is_grad_enabled():
        return products(rows, weight, bias)
    return Products.apply(rows, weight, bias)


def _by_onednn(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN is the faster library here, sizes aside."""
    compiling = torch.compiler.is_compiling()
    return not compiling and onednn.faster() and x.dtype == weight.dtype and onednn.multiplies(x)


def wide_layer_norm(
    x: Tensor, norm: nn.LayerNorm, weight: Tensor | None, bias: Tensor | None, batched: bool
) -> Tensor:
    """Return N layer norms: x normalised at once, then scaled and shifted for each tower.

    Parameters
    ----------
    x
        The input, with the towers in front if `batched`.
    norm
        One of the norms, for shape and epsilon.
    weight, bias
        [N, ...] of the normalised shape.
    batched
        Whether each tower has its own x.
    """
    y = F.layer_norm(x, norm.normalized_shape, None, None, norm.eps)
    if weight is None:
        return y
    between = (1,) * (x.ndim - batched - len(norm.normalized_shape))
    weight = weight.view(len(weight), *between, *norm.normalized_shape)
    if bias is None:
        return y * weight
    return torch.addcmul(bias.view(weight.shape), y, weight)


def wide_convolution(x: Tensor, conv: Any, weight: Tensor, bias: Tensor | None, batched: bool) -> Tensor:
    """Return N convolutions as one: with N times the groups, or, of one x, with N times the channels.

    Parameters
    ----------
    x
        The input [B, C, ...], or [N, B, C, ...] if `batched`.
    conv
        One of the convolutions, for stride, padding, dilation and groups.
    weight, bias
        [N, O, C / groups, ...] and [N, O].
    batched
        Whether each tower has its own x.
    """
    number = len(weight)
    joint = x.movedim(0, 1).flatten(1, 2) if batched else x
    y = (F.conv1d, F.conv2d, F.conv3d)[weight.ndim - 4](
        joint,
        weight.flatten(0, 1),
        None if bias is None else bias.flatten(),
        conv.stride,
        conv.padding,
        conv.dilation,
        conv.groups * number if batched else conv.groups,
    )
    return y.unflatten(1, (number, -1)).movedim(1, 0)


def axes(module: nn.Module) -> int:
    """Return the axes that a tower's x must have for the functions above: at least these, of a convolution exactly."""
    return module.weight.ndim if isinstance(module, CONVOLUTIONS) else 1
