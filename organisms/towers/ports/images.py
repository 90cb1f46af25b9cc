"""Images as the libraries take them: pictures of 8 bits are prepared by a processor, tensors of floats are already."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from organisms.towers.ports.source import Source

RAW = "PIL images, arrays [H, W, 3] or tensors [3, H, W] of uint8, or prepared tensors of floats"


def processor(source: Source, transformers: Any) -> Any:
    """Return the image processor of a source, which needs PIL and NumPy alone.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with source.reading(transformers):
        return transformers.AutoImageProcessor.from_pretrained(
            source.place, backend="pil", trust_remote_code=False, **source.options()
        )


def is_single(raw: Any) -> bool:
    """Whether raw data are one image: an axis more, or a list or tuple, makes a batch."""
    if isinstance(raw, Tensor | np.ndarray):
        return raw.ndim < 4
    return not isinstance(raw, list | tuple)


def processed(port: str, raw: Any, processor: Any) -> Tensor:
    """Return one image or a batch of them as pixel values [B, C, H, W], as a processor of transformers makes them.

    Parameters
    ----------
    port, raw
        As `prepared` takes them.
    processor
        The processor.

    Raises
    ------
    TypeError
        If something is no image.
    ValueError
        If there is none, or the shapes do not fit.
    """
    return prepared(port, raw, lambda batch: processor(images=batch, return_tensors="pt")["pixel_values"])


def prepared(port: str, raw: Any, process: Callable[[list[Image.Image]], Tensor]) -> Tensor:
    """Return one image or a batch of them as pixel values [B, C, H, W].

    Parameters
    ----------
    port
        Name of the port, for messages.
    raw
        One image or a batch, as `RAW` says.
    process
        Makes pixel values of RGB images; not used for what is prepared already.

    Raises
    ------
    TypeError
        If something is no image.
    ValueError
        If there is none, or the shapes do not fit.
    """
    batch: Sequence[Any] = [raw] if is_single(raw) else list(raw)
    if not batch:
        raise ValueError(f"port {port!r} must be given at least one image, but the batch is empty")
    floats = [isinstance(each, Tensor) and each.is_floating_point() for each in batch]
    if not all(floats):
        return process([_picture(port, n, each) for n, each in enumerate(batch)])
    if isinstance(raw, Tensor):
        pixels = raw[None] if is_single(raw) else raw
    elif len({each.shape for each in batch}) == 1:
        pixels = torch.stack(tuple(batch))
    else:
        raise ValueError(
            f"port {port!r} must be given prepared images of one shape, but got {_shapes(batch)}"
        )
    if pixels.ndim != 4:
        raise ValueError(
            f"port {port!r} reads prepared images [C, H, W] or a batch of them, but got {_shapes(batch)}"
        )
    return pixels


def _picture(port: str, n: int, raw: Any) -> Image.Image:
    if isinstance(raw, Image.Image):
        return raw.convert("RGB")
    if isinstance(raw, Tensor) and raw.dtype == torch.uint8 and raw.ndim == 3:
        raw = raw.detach().cpu().permute(1, 2, 0).numpy()
    if not isinstance(raw, np.ndarray) or raw.dtype != np.uint8:
        kind = f"{type(raw).__name__} of {raw.dtype}" if hasattr(raw, "dtype") else type(raw).__name__
        raise TypeError(f"port {port!r} reads images ({RAW}), but number {n} is a {kind}")
    if raw.ndim == 3 and raw.shape[-1] == 1:
        raw = raw[..., 0]
    if raw.ndim != 2 and (raw.ndim != 3 or raw.shape[-1] != 3):
        raise ValueError(
            f"port {port!r} reads images ({RAW}), but number {n} has the shape {list(raw.shape)}"
        )
    return Image.fromarray(raw).convert("RGB")


def _shapes(batch: Sequence[Tensor]) -> str:
    return ", ".join(dict.fromkeys(str(list(each.shape)) for each in batch))
