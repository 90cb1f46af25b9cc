"""The masks of `torch.nn.TransformerEncoder`, checked and brought to one form.

Shape suffixes: B examples, C slots, S tokens.
"""

import torch
from torch import Tensor

from kernels import arguments
from kernels.kernel import Visible
from organisms.layers.checks import described


def visible(
    mask: Tensor | None, padding: Tensor | None, is_causal: bool | None, x: Tensor, slots: int
) -> Visible:
    """Return which tokens see which.

    Parameters
    ----------
    mask
        True where a query, a row, must not see a key, or what is added to the score, [S, S] or [B C, S, S].
    padding
        True where a token is padding, or what is added to the scores of its key, [B, S].
    is_causal
        Whether a token sees itself and earlier ones only. A mask beside it is taken to say the same, and not read.
    x
        Tokens, [B, S, D].
    slots
        C.

    Raises
    ------
    ValueError
        If a mask has another shape or device than this, or holds neither bool nor floating-point numbers.
    """
    B, S, _ = x.shape
    _check("mask", mask, [(S, S), (B * slots, S, S)], x)
    _check("src_key_padding_mask", padding, [(B, S)], x)
    bias = None if mask is None or is_causal else _bias(mask, x)
    if bias is not None and bias.ndim == 3:
        bias = bias.view(B, slots, S, S)
    keys = None
    if padding is not None and padding.dtype == torch.bool:
        keys = ~padding
    elif padding is not None:
        added = _bias(padding, x)[:, None, None, :]
        bias = added if bias is None else bias + added
    return Visible(bool(is_causal), keys, bias)


def _bias(mask: Tensor, x: Tensor) -> Tensor:
    if mask.dtype != torch.bool:
        return mask.to(x.dtype)
    return torch.zeros_like(mask, dtype=x.dtype).masked_fill_(mask, -torch.inf)


def _check(name: str, mask: Tensor | None, shapes: list[tuple[int, ...]], x: Tensor) -> None:
    if mask is None:
        return
    arguments.tensors(**{name: mask})
    right = mask.dtype == torch.bool or mask.is_floating_point()
    if not right or tuple(mask.shape) not in shapes or mask.device != x.device:
        wanted = " or ".join(str(list(shape)) for shape in shapes)
        raise ValueError(
            f"{name} must be bool, True where a key is hidden, or floating-point, {wanted} on {x.device}, but is "
            f"{described(mask)}"
        )
