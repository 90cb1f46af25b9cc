"""Attention by torch's own fused kernel for the CPU, together with its log-sum-exp.

`scaled_dot_product_attention` is the public interface of that kernel, but does not return the log-sum-exp, and
refuses a mask beside `is_causal`. The operation behind it is private, so it is looked for before it is used, and
`blockwise` does the same work without it. It holds no S x S weights, but the mask of a window is S x S for each
head: hence windows are left to `banded` or `blockwise` where sequences are long.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from kernels.attention.visibility import Visibility, bias, hidden

WHOLE = 128  # sequences up to this length may have a mask for each head
_NAME = "_scaled_dot_product_flash_attention_for_cpu"
AVAILABLE = hasattr(torch.ops.aten, _NAME) and hasattr(torch.ops.aten, f"{_NAME}_backward")


def serves(q: Tensor, visibility: Visibility) -> bool:
    """Whether the kernel is there and can take what the queries may see."""
    return AVAILABLE and q.device.type == "cpu" and (visibility.window is None or q.shape[2] <= WHOLE)


def forward(
    q: Float[Tensor, "B H S R"],
    k: Float[Tensor, "B H S R"],
    v: Float[Tensor, "B H S W"],
    visibility: Visibility,
) -> tuple[Float[Tensor, "B H S W"], Float[Tensor, "B H S"]]:
    """Return the output and the log-sum-exp.

    Parameters
    ----------
    q, k
        Queries and keys, [B, H, S, R].
    v
        Values, [B, H, S, W].
    visibility
        Scale of the scores, and which query sees which key.
    """
    queries, keys, values = level(scaled(q, visibility), k, v)
    output, lse = attended(queries, keys, values, _mask(q, visibility), causal=visibility.causal)
    return output[..., : v.shape[3]].to(v.dtype), lse


def backward(
    grad_output: Float[Tensor, "B H S W"],
    q: Float[Tensor, "B H S R"],
    k: Float[Tensor, "B H S R"],
    v: Float[Tensor, "B H S W"],
    output: Float[Tensor, "B H S W"],
    lse: Float[Tensor, "B H S"],
    visibility: Visibility,
) -> tuple[Float[Tensor, "B H S R"], Float[Tensor, "B H S R"], Float[Tensor, "B H S W"]]:
    """Return the gradients of queries, keys and values, of a forward pass of this or another path.

    Parameters
    ----------
    grad_output
        Gradient of the output, [B, H, S, W].
    q, k
        Queries and keys, [B, H, S, R].
    v
        Values, [B, H, S, W].
    output, lse
        What the forward pass returned, [B, H, S, W] and [B, H, S].
    visibility
        Scale of the scores, and which query sees which key.
    """
    queries, keys, values, change, mixed = level(scaled(q, visibility), k, v, grad_output, output)
    mask = _mask(q, visibility)
    dq, dk, dv = gradients(change, queries, keys, values, mixed, lse, mask, causal=visibility.causal)
    dq = dq[..., : q.shape[3]] * visibility.scale[:, None, None]
    return dq.to(q.dtype), dk[..., : k.shape[3]].to(k.dtype), dv[..., : v.shape[3]].to(v.dtype)


def attended(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, *, causal: bool = False
) -> tuple[Tensor, Tensor]:
    """Return the kernel's output, [B, H, Q, R], and log-sum-exp, [B, H, Q]; zeros and -inf where no key is seen.

    Parameters
    ----------
    queries
        Scaled, [B, H, Q, R].
    keys, values
        As wide, [B, H, K, R].
    mask
        What is added to the scores, [Q, K] behind axes that can be expanded; None: nothing is.
    causal
        Whether a query sees no key after it.
    """
    output, lse = getattr(torch.ops.aten, _NAME)(
        queries, keys, values, 0.0, causal, attn_mask=mask, scale=1.0
    )
    if mask is not None:
        blind = lse < hidden(lse.dtype) / 2
        output, lse = output.masked_fill_(blind.unsqueeze(-1), 0.0), lse.masked_fill_(blind, -torch.inf)
    return output, lse


def gradients(
    change: Tensor,
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    output: Tensor,
    lse: Tensor,
    mask: Tensor | None,
    *,
    causal: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the kernel's gradients of scaled queries, keys and values.

    Parameters
    ----------
    change
        Gradient of the output, [B, H, Q, R].
    queries, keys, values, mask, causal
        As `attended` takes them.
    output, lse
        What it returned.
    """
    # A query that sees nothing has no weights: exp(s - inf).
    sums = lse.masked_fill(lse == -torch.inf, torch.inf)
    return getattr(torch.ops.aten, f"{_NAME}_backward")(
        change, queries, keys, values, output, sums, 0.0, causal, attn_mask=mask, scale=1.0
    )


def _mask(q: Tensor, visibility: Visibility) -> Tensor | None:
    """What hides the keys that are not seen, but for those after a query: the kernel knows of them."""
    seen = visibility.seen(q.shape[2], causal=False)
    return None if seen is None else bias(seen, visibility.scale.dtype)


def scaled(q: Tensor, visibility: Visibility) -> Tensor:
    """Return queries times the scale of their head, in the dtype of the arithmetic."""
    return q.to(visibility.scale.dtype) * visibility.scale[:, None, None]


def level(first: Tensor, *others: Tensor) -> list[Tensor]:
    """Bring tensors [B, H, S, *] to the dtype of the first and to one width, by columns of zeros.

    The numbers of a token must lie one after the other: the operation does not look at their stride.
    """
    tensors = [first, *(other.to(first.dtype) for other in others)]
    width = max(tensor.shape[3] for tensor in tensors)
    padded = (
        F.pad(tensor, (0, width - tensor.shape[3])) if tensor.shape[3] < width else tensor
        for tensor in tensors
    )
    return [tensor if tensor.stride(3) == 1 else tensor.contiguous() for tensor in padded]
