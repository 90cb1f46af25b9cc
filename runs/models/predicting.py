"""What a model answers to arrays: checked examples in, outputs out."""

from typing import Any

import numpy as np
import torch
from torch import nn

from runs.errors import ConfigError
from runs.models.evaluation import BATCH, in_batches
from runs.models.opening import Opened


def predict(model: Opened | nn.Module, arrays: Any, batch: int = BATCH) -> np.ndarray:
    """Return what a model answers to examples, float32 [N, outputs] or [N, S, outputs].

    Parameters
    ----------
    model
        What `runs.models.opening.open_model` opened: then the examples are checked by its signature; or any module
        that maps tokens to outputs, which checks them itself.
    arrays
        N examples: numbers [N, S, features], or symbols [N, S] as whole numbers; what numpy makes an array of.
    batch
        Examples of a forward pass.

    Raises
    ------
    ConfigError
        If the examples have another shape, are not finite, or have symbols that the model does not know.
    ValueError
        If `batch` is under 1.
    """
    if batch < 1:
        raise ValueError(f"batch must be at least 1, not {batch}")
    if isinstance(model, Opened):
        network, found = model.reading, examples(model, arrays)
    else:
        network, found = model, np.asarray(_numbers(arrays))
        found = found.astype(np.int64 if found.dtype.kind in "iub" else np.float32)
    tokens = torch.from_numpy(found)
    device = next((each.device for each in network.parameters()), torch.device("cpu"))
    return in_batches(lambda part: network(part.to(device)).cpu(), network, tokens, batch).numpy()


def examples(opened: Opened, arrays: Any) -> np.ndarray:
    """Return examples as a model reads them: float32 [N, S, features], or int64 [N, S].

    Parameters
    ----------
    opened
        The model.
    arrays
        Examples; those of one feature may lack the last axis.

    Raises
    ------
    ConfigError
        If they are of another shape or type, not finite, or symbols that the model does not know.
    """
    found, signature = _array(arrays), opened.signature
    if signature.tokens == "discrete":
        return _symbols(opened, found)
    if found.ndim == 2 and signature.features == 1:
        found = found[..., None]
    _check_shape(opened, found, ("N", signature.length, signature.features))
    with np.errstate(over="ignore"):
        numbers = found.astype(np.float32)
    broken = ~np.isfinite(numbers)
    if broken.any():
        place = [int(index) for index in np.argwhere(broken)[0]]
        raise ConfigError(
            f"inputs must be finite, but {np.count_nonzero(broken):,} of {numbers.size:,} numbers are not, the first "
            f"at {place}; fill them in, or leave out their examples"
        )
    return numbers


def _numbers(arrays: Any) -> Any:
    return arrays.detach().cpu() if isinstance(arrays, torch.Tensor) else arrays


def _array(arrays: Any) -> np.ndarray:
    try:
        found = np.asarray(_numbers(arrays))
    except ValueError as error:
        raise ConfigError(f"inputs must be an array of numbers of one shape: {error}") from None
    if found.dtype.kind not in "biuf":
        raise ConfigError(f"inputs must be an array of numbers, but their type is {found.dtype}")
    return found


def _symbols(opened: Opened, found: np.ndarray) -> np.ndarray:
    signature = opened.signature
    _check_shape(opened, found, ("N", signature.length))
    symbols = found.astype(np.int64)
    if found.dtype.kind == "f" and not (np.isfinite(found).all() and (symbols == found).all()):
        raise ConfigError("inputs must be whole numbers, as the model reads symbols, but some are not")
    least, most = int(symbols.min()), int(symbols.max())
    if least < 0 or most >= signature.features:
        raise ConfigError(
            f"inputs must be symbols from 0 to {signature.features - 1}, but reach from {least} to {most}"
        )
    return symbols


def _check_shape(opened: Opened, found: np.ndarray, wanted: tuple[int | str, ...]) -> None:
    if found.ndim != len(wanted) or found.shape[2:] != wanted[2:] or not all(found.shape):
        text = ", ".join(map(str, wanted))
        raise ConfigError(
            f"inputs must be [{text}] for the task {opened.signature.name!r}, at least one example, but are "
            f"{list(found.shape)}"
        )
    if found.shape[1] not in opened.lengths:
        raise ConfigError(opened.lengths.refused("inputs", opened.signature.name, found.shape[1]))
