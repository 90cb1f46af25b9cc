"""What the modules ask of what they are given, before anything is drawn or computed."""

from collections.abc import Sequence

import torch
from torch import Tensor

from kernels import arguments, backends


def check_making(config: object, kind: type, generator: object, n_layers: object = 1) -> None:
    """Refuse what no parameters can be drawn from.

    Parameters
    ----------
    config
        Must be of this kind.
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
            f"generator must be a torch.Generator of the CPU, where parameters are drawn, but is {told(generator)}"
        )
    if not isinstance(n_layers, int) or n_layers < 1:
        raise ValueError(f"n_layers must be a whole number from 1 on, but is {n_layers!r}")


def check_tokens(
    name: str, tokens: Tensor, mask: Tensor | None, width: int, option: str, parameter: Tensor
) -> None:
    """Refuse what is no [B, S, width], or has another dtype or device than the parameters, and a mask of others.

    Under autocast any floating dtype will do.

    Raises
    ------
    ValueError
        Names `option` as what says the width.
    """
    arguments.tensors(**{name: tokens})
    fits = tokens.ndim == 3 and tokens.shape[2] == width and tokens.device == parameter.device
    mixed = backends.mixed(tokens) and tokens.is_floating_point()
    if not fits or not (mixed or tokens.dtype == parameter.dtype):
        raise ValueError(
            f"{name} must be [B, S, {width}], as {option} says, and {parameter.dtype} on {parameter.device} as the "
            f"parameters, but is {told(tokens)}"
        )
    check_mask(mask, tokens.shape[:2], tokens.device)


def check_mask(mask: Tensor | None, shape: Sequence[int], device: torch.device) -> None:
    """Refuse a mask that does not say of each token whether it is one.

    Raises
    ------
    ValueError
        If it is not bool of this shape and on this device.
    """
    if mask is None:
        return
    arguments.tensors(mask=mask)
    if (mask.dtype, tuple(mask.shape), mask.device) != (torch.bool, tuple(shape), device):
        raise ValueError(
            f"mask must be torch.bool {list(shape)} on {device}, True where a token is real, but is {told(mask)}"
        )


def zeroed(x: Tensor, mask: Tensor | None) -> Tensor:
    """Put zeros where tokens, all axes of the mask, are padding: what it holds may be NaN, and 0 x NaN is NaN."""
    return x if mask is None else x.masked_fill(~mask.unsqueeze(-1), 0)


def drawing(
    generator: torch.Generator | None, option: str, device: torch.device | None = None
) -> torch.Generator:
    """Give the generator that an option needs in training.

    Parameters
    ----------
    generator
        What the caller gave.
    option
        What needs it, for the message.
    device
        Where it must draw; None: anywhere.

    Raises
    ------
    ValueError
        If it is missing, none, or of another kind of device.
    """
    if generator is None:
        raise ValueError(
            f"generator is missing, and {option} needs one in training: pass a torch.Generator, call eval(), or switch "
            f"{option} off"
        )
    if not isinstance(generator, torch.Generator) or (device and device.type != generator.device.type):
        place = "" if device is None else f" on {device.type}"
        raise ValueError(f"generator must be a torch.Generator{place}, but is {told(generator)}")
    return generator


def told(value: object) -> str:
    """Say of what kind a value is."""
    if isinstance(value, Tensor):
        return f"{value.dtype} {list(value.shape)} on {value.device}"
    if isinstance(value, torch.Generator):
        return f"one on {value.device}"
    return "None" if value is None else f"a {type(value).__name__}"
