"""Checks of what modules are given, made before parameters are drawn or anything is computed."""

from collections.abc import Sequence

import torch
from torch import Tensor

from kernels import arguments, backends


def check_construction(config: object, kind: type, generator: object, n_layers: object = 1) -> None:
    """Refuse arguments that no module can be constructed from.

    Parameters
    ----------
    config
        Must be of type `kind`.
    kind
        The class of the module's configuration.
    generator
        Must be a `torch.Generator` of the CPU.
    n_layers
        Must be a whole number from 1 on.

    Raises
    ------
    ValueError
        For the first that is not so.
    """
    if not isinstance(config, kind):
        raise ValueError(
            f"config must be a {kind.__name__}, but is a {type(config).__name__}; "
            f"{kind.__name__}.model_validate makes one of a mapping"
        )
    if not isinstance(generator, torch.Generator) or generator.device.type != "cpu":
        raise ValueError(
            "generator must be a torch.Generator of the CPU, where parameters are drawn, but is "
            f"{described(generator)}"
        )
    if not isinstance(n_layers, int) or n_layers < 1:
        raise ValueError(f"n_layers must be a whole number from 1 on, but is {n_layers!r}")


def check_tokens(
    name: str, tokens: Tensor, mask: Tensor | None, width: int, option: str, parameter: Tensor
) -> None:
    """Refuse tokens or a padding mask of another shape, dtype or device than a module computes with.

    Parameters
    ----------
    name
        What the message calls the tokens.
    tokens
        Must be [B, S, width], of dtype and device of `parameter`; under autocast any floating dtype will do.
    mask
        Must be bool [B, S] on the same device, or None.
    width
        Numbers of a token.
    option
        The option that sets the width, for the message.
    parameter
        A parameter of the module.

    Raises
    ------
    ValueError
        If one of them is another.
    """
    arguments.tensors(**{name: tokens})
    fits = tokens.ndim == 3 and tokens.shape[2] == width and tokens.device == parameter.device
    mixed = backends.mixed(tokens) and tokens.is_floating_point()
    if not fits or not (mixed or tokens.dtype == parameter.dtype):
        raise ValueError(
            f"{name} must be [B, S, {width}], as {option} says, and {parameter.dtype} on {parameter.device} as the "
            f"parameters, but is {described(tokens)}"
        )
    check_mask(mask, tokens.shape[:2], tokens.device)


def check_mask(mask: Tensor | None, shape: Sequence[int], device: torch.device) -> None:
    """Refuse a padding mask that does not hold one bool for each token.

    Parameters
    ----------
    mask
        False where a token is padding; None: nowhere.
    shape
        Shape of the tokens without their last axis, which the mask must have.
    device
        Where the tokens are, and the mask must be.

    Raises
    ------
    ValueError
        If it is not bool of this shape on this device.
    """
    if mask is None:
        return
    arguments.tensors(mask=mask)
    if (mask.dtype, tuple(mask.shape), mask.device) != (torch.bool, tuple(shape), device):
        raise ValueError(
            f"mask must be torch.bool {list(shape)} on {device}, True where a token is real, but is {described(mask)}"
        )


def zeroed(x: Tensor, mask: Tensor | None) -> Tensor:
    """Return x with zeros where the mask, of all axes but the last, is False: a product would keep NaN of padding."""
    return x if mask is None else x.masked_fill(~mask.unsqueeze(-1), 0)


def required_generator(
    generator: torch.Generator | None, option: str, device: torch.device | None = None
) -> torch.Generator:
    """Return the generator that an option needs in training.

    Parameters
    ----------
    generator
        What the caller passed.
    option
        The option that draws from it, for the message.
    device
        The device that it must draw on; None: any.

    Raises
    ------
    ValueError
        If it is missing, is no generator, or is of another kind of device.
    """
    if generator is None:
        raise ValueError(
            f"generator is missing, and {option} needs one in training: pass a torch.Generator, call eval(), or switch "
            f"{option} off"
        )
    if not isinstance(generator, torch.Generator) or (device and device.type != generator.device.type):
        place = "" if device is None else f" on {device.type}"
        raise ValueError(f"generator must be a torch.Generator{place}, but is {described(generator)}")
    return generator


def described(value: object) -> str:
    """Return type, shape and device of a value in the words of an error message."""
    if isinstance(value, Tensor):
        return f"{value.dtype} {list(value.shape)} on {value.device}"
    if isinstance(value, torch.Generator):
        return f"one on {value.device}"
    return "None" if value is None else f"a {type(value).__name__}"
