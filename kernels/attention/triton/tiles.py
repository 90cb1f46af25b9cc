"""Tile sizes of the Triton kernels of attention: one table, and never a choice by timing.

Tiles fix the order of every sum, so an autotuner would let the clock choose the bits of a result. Float32 has
small tiles: without tensor cores a product lives in registers.
"""

from dataclasses import dataclass, replace
from typing import Literal

import triton

Kernel = Literal["forward", "measured", "queries", "keys"]  # measured: the forward pass with its statistics


@dataclass(frozen=True, slots=True)
class Tiles:
    """The queries and keys that a program holds at a time, and how the compiler spreads them."""

    queries: int
    keys: int
    warps: int
    stages: int


# By the bytes of a number and the padded head width.
TILES: dict[Kernel, dict[int, dict[int, Tiles]]] = {
    "forward": {
        2: {
            16: Tiles(128, 128, 8, 3),
            32: Tiles(128, 128, 8, 3),
            64: Tiles(128, 128, 8, 3),
            128: Tiles(128, 128, 8, 2),
        },
        4: {
            16: Tiles(64, 64, 4, 2),
            32: Tiles(64, 64, 4, 2),
            64: Tiles(64, 32, 8, 2),
            128: Tiles(32, 16, 4, 1),
        },
    },
    "measured": {
        2: {
            16: Tiles(128, 128, 8, 3),
            32: Tiles(128, 128, 8, 3),
            64: Tiles(128, 64, 8, 3),
            128: Tiles(128, 64, 8, 2),
        },
        4: {
            16: Tiles(64, 64, 4, 2),
            32: Tiles(64, 64, 4, 2),
            64: Tiles(64, 32, 8, 2),
            128: Tiles(32, 16, 4, 1),
        },
    },
    "queries": {
        2: {
            16: Tiles(128, 128, 8, 2),
            32: Tiles(128, 128, 8, 2),
            64: Tiles(128, 128, 8, 2),
            128: Tiles(128, 64, 8, 2),
        },
        4: {
            16: Tiles(64, 64, 4, 2),
            32: Tiles(64, 64, 4, 2),
            64: Tiles(32, 32, 8, 1),
            128: Tiles(32, 16, 4, 1),
        },
    },
    "keys": {
        2: {
            16: Tiles(128, 128, 8, 2),
            32: Tiles(64, 128, 8, 2),
            64: Tiles(64, 128, 8, 2),
            128: Tiles(64, 128, 8, 2),
        },
        4: {
            16: Tiles(32, 64, 4, 1),
            32: Tiles(32, 32, 8, 1),
            64: Tiles(32, 32, 8, 1),
            128: Tiles(16, 32, 4, 1),
        },
    },
}
# Small, so that short sequences have several, and unequal both ways.
INTERPRETED: dict[Kernel, Tiles] = {
    "forward": Tiles(64, 32, 1, 1),
    "measured": Tiles(32, 64, 1, 1),
    "queries": Tiles(32, 64, 1, 1),
    "keys": Tiles(64, 32, 1, 1),
}
WIDTHS = (16, 32, 64, 128)
SHORTEST = 16  # what a matrix product of Triton takes


def padded(width: int) -> int:
    """Round a head width up to one that the table knows.

    Raises
    ------
    ValueError
        If none is wide enough.
    """
    if width > WIDTHS[-1]:
        raise ValueError(
            f"a head is {width} wide, but the Triton kernels go up to {WIDTHS[-1]}; use backend='torch'"
        )
    return next(each for each in WIDTHS if each >= width)


def tiles_for(kernel: Kernel, size: int, width: int, length: int) -> Tiles:
    """Look up the tiles of a kernel, cut down to the sequence.

    Parameters
    ----------
    kernel
        Which kernel.
    size
        Bytes of a number.
    width
        The padded width of a head.
    length
        Tokens of a sequence.
    """
    tiles = INTERPRETED[kernel] if triton.knobs.runtime.interpret else TILES[kernel][size][width]
    longest = max(SHORTEST, triton.next_power_of_2(length))
    return replace(tiles, queries=min(tiles.queries, longest), keys=min(tiles.keys, longest))
