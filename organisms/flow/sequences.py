"""Checks of what the layers of a flow network are given, made before anything is drawn or computed."""

import torch
from torch import Tensor

from kernels import arguments
from kernels.exporting import exporting
from organisms.layers.checks import check_tokens, described


def check_sequence(name: str, x: Tensor, width: int, option: str, parameter: Tensor) -> None:
    """Refuse what is no sequence of at least one token.

    Parameters
    ----------
    name
        What the message calls the tokens.
    x
        Must be [B, S, width] without zeros, of dtype and device of `parameter`.
    width
        Numbers of a token.
    option
        The option that sets the width, for the message.
    parameter
        A parameter of the module.

    Raises
    ------
    ValueError
        If it is another.
    """
    check_tokens(name, x, None, width, option, parameter)
    if not x.numel():
        raise ValueError(f"{name} must hold at least one sequence of one token, but is {described(x)}")


def check_ids(input_ids: Tensor, vocab_size: int, device: torch.device) -> None:
    """Refuse what is no sequence of symbols of a vocabulary.

    Parameters
    ----------
    input_ids
        Must be int64 [B, S] without zeros, on the device, all in [0, vocab_size).
    vocab_size
        Symbols.
    device
        Where the parameters are.

    Raises
    ------
    ValueError
        If it is another.
    """
    arguments.tensors(input_ids=input_ids)
    if (input_ids.ndim, input_ids.dtype, input_ids.device) != (
        2,
        torch.int64,
        device,
    ) or not input_ids.numel():
        raise ValueError(
            f"input_ids must be torch.int64 [B, S] on {device}, of at least one symbol, but are {described(input_ids)}"
        )
    if exporting():
        return
    least, most = (int(end) for end in input_ids.aminmax())
    if least < 0 or most >= vocab_size:
        raise ValueError(
            f"input_ids must be in [0, {vocab_size}), as vocab_size says, but reach from {least} to {most}"
        )


def check_length(input_ids: Tensor, max_seq_len: int, remedy: str) -> None:
    """Refuse sequences that are longer than one pass reads.

    Parameters
    ----------
    input_ids
        Symbols, [B, S].
    max_seq_len
        What S may be at most.
    remedy
        What to do instead, for the message.

    Raises
    ------
    ValueError
        If they are.
    """
    if input_ids.shape[1] > max_seq_len:
        raise ValueError(
            f"input_ids must have at most max_seq_len, {max_seq_len}, symbols a sequence, but have "
            f"{input_ids.shape[1]}; {remedy}"
        )


def share(name: str, value: float) -> float:
    """Return a share in (0, 1].

    Raises
    ------
    ValueError
        If it is another number.
    """
    if not 0 < value <= 1:
        raise ValueError(f"{name} must be over 0 and at most 1, but is {value}")
    return float(value)


def generator_or_default(generator: torch.Generator | None) -> torch.Generator:
    """Return the generator that parameters are drawn from; of seed 0 where none was given.

    Raises
    ------
    ValueError
        If it is no generator of the CPU.
    """
    if generator is None:
        return torch.Generator().manual_seed(0)
    if not isinstance(generator, torch.Generator) or generator.device.type != "cpu":
        raise ValueError(
            "generator must be a torch.Generator of the CPU, where parameters are drawn, but is "
            f"{described(generator)}"
        )
    return generator
