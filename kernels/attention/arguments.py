"""Checks of the arguments of `attention`, made before anything is computed."""

from collections.abc import Sequence
from numbers import Real

import torch
from torch import Tensor

from kernels import arguments, backends
from kernels.attention.visibility import Visibility

WIDEST = 128  # width of a head that the Triton kernels have tiles for
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def checked(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    scale: Tensor | float | None,
    causal: bool,
    window: Tensor | None,
    key_mask: Tensor | None,
    positions: Tensor | None,
    backend: str,
) -> tuple[str, Visibility]:
    """Check the arguments; return the name of the path to take, and what the queries may see.

    Parameters
    ----------
    q, k, v, scale, causal, window, key_mask, positions, backend
        As `attention` takes them.

    Raises
    ------
    ValueError
        As `attention` says.
    """
    given: dict[str, object] = {"window": window, "key_mask": key_mask, "positions": positions}
    given |= {} if isinstance(scale, Real) else {"scale": scale}
    arguments.tensors(q=q, k=k, v=v, **{name: each for name, each in given.items() if each is not None})
    _heads(q, k, v)
    B, H, S, R = q.shape
    for name in ("scale", "window", "positions"):
        _real(name, given.get(name))
    if isinstance(scale, Tensor):
        _shaped("scale", scale, (H,), q)
    if window is not None:
        _shaped("window", window, (H,), q)
    if key_mask is not None:
        _shaped("key_mask", key_mask, (B, S), q)
        if key_mask.dtype != torch.bool:
            raise ValueError(f"key_mask must have dtype torch.bool, but has {key_mask.dtype}")
    if positions is not None:
        _shaped("positions", positions, (S,), q, free=1)
        if not 1 <= positions.shape[1] <= 3:
            raise ValueError(f"positions must have 1 to 3 coordinates, but has {positions.shape[1]}")
    path = backends.path(backend, "q", q, triton=max(R, v.shape[3]) <= WIDEST)
    arguments.allocatable("q", (B, H, S, S if path == "reference" else R), q.dtype)
    arguments.allocatable("v", v.shape, v.dtype)
    return path, _visibility(q, R**-0.5 if scale is None else scale, causal, window, key_mask, positions)


def _visibility(
    q: Tensor,
    scale: Tensor | float,
    causal: bool,
    window: Tensor | None,
    key_mask: Tensor | None,
    positions: Tensor | None,
) -> Visibility:
    wide = torch.float64 if q.dtype == torch.float64 else torch.float32
    if not isinstance(scale, Tensor):
        scale = torch.full((q.shape[1],), float(scale), dtype=wide, device=q.device)
    return Visibility(
        scale=scale.to(wide),
        causal=causal,
        window=None if window is None else window.to(wide),
        key_mask=key_mask,
        positions=None if positions is None else positions.to(wide),
    )


def _real(name: str, value: object) -> None:
    """Refuse what holds no real numbers, or asks for a gradient that nothing gives it."""
    if not isinstance(value, Tensor):
        return
    if value.is_complex() or value.dtype == torch.bool:
        raise ValueError(f"{name} must hold real numbers, but its dtype is {value.dtype}")
    if value.requires_grad and torch.is_grad_enabled():
        hint = "multiply q by it and pass scale=1.0" if name == "scale" else "detach it"
        raise ValueError(f"{name} requires a gradient, but has none here; {hint}")


def _heads(q: Tensor, k: Tensor, v: Tensor) -> None:
    """Refuse queries, keys and values that do not belong together."""
    if q.dtype not in DTYPES:
        known = ", ".join(map(str, DTYPES))
        raise ValueError(f"q must have one of the dtypes {known}, but has {q.dtype}")
    if q.ndim != 4 or 0 in q.shape:
        raise ValueError(f"q must have a shape [B, H, S, R] without zeros, but has {list(q.shape)}")
    _shaped("k", k, q.shape, q)
    _shaped("v", v, q.shape[:3], q, free=1)
    if v.shape[3] == 0:
        raise ValueError(f"v must have a width of at least 1, but has the shape {list(v.shape)}")
    for name, tensor in (("k", k), ("v", v)):
        if tensor.dtype != q.dtype:
            raise ValueError(f"{name} must have the dtype of q, {q.dtype}, but has {tensor.dtype}")


def _shaped(name: str, tensor: Tensor, shape: Sequence[int], q: Tensor, free: int = 0) -> None:
    """Refuse a tensor of another shape, but for `free` last axes of any size, or on another device than q."""
    if tensor.ndim != len(shape) + free or tensor.shape[: len(shape)] != shape:
        wanted = ", ".join([*map(str, shape), *["any"] * free])
        raise ValueError(
            f"{name} must have the shape [{wanted}] beside q of shape {list(q.shape)}, but has {list(tensor.shape)}"
        )
    if tensor.device != q.device:
        raise ValueError(f"{name} must be on the device of q, {q.device}, but is on {tensor.device}")
