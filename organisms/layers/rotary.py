"""Rotary positions: queries and keys are turned by angles that grow with the position (Su et al. 2021, RoFormer).

A head of width R is R / 2 complex numbers, of which number i is (x_i, x_(i + R/2)). At position p each is turned
by the angle p theta_i, with theta_i = base^(-2 i / R): a product of a query and a key then depends on the
distance of their positions alone. A model that was trained on L positions and must read s L of them can turn
more slowly:

    linear  theta_i / s                                    Chen et al. (2023), arXiv:2306.15595
    ntk     the base times s^(R / (R - 2)): the fastest number turns as before, the slowest s times
            more slowly                                    bloc97 (2023), "NTK-aware scaled RoPE"
    yarn    by how often a number turns within L, r_i = L theta_i / (2 pi): as before from 32 turns on, theta_i / s
            up to one turn, a blend in r between; and queries and keys times 0.1 ln s + 1
                                                           Peng et al. (2023), arXiv:2309.00071
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from jaxtyping import Float, Num
from torch import Tensor

from kernels import arguments

SLOW, FAST = 1.0, 32.0  # turns within the trained length, between which YaRN blends


@dataclass(frozen=True, slots=True)
class Rotary:
    """How fast the numbers of a head turn.

    Parameters
    ----------
    width
        R, the first coordinates of a head, which are turned: even, and for "ntk" over 2.
    base
        Over 1.
    scaling
        A name in `SCALINGS`.
    factor
        s, how many times the trained length is read; at least 1.
    trained
        L, positions, at least 1; only "yarn" asks for it.

    Raises
    ------
    ValueError
        If one of them is not so.
    """

    width: int
    base: float = 10_000.0
    scaling: str = "none"
    factor: float = 1.0
    trained: int = 2048

    def __post_init__(self) -> None:
        arguments.one_of("scaling", self.scaling, tuple(SCALINGS))
        least = 4 if self.scaling == "ntk" else 2
        if self.width < least or self.width % 2:
            raise ValueError(
                f"width of {self.scaling} rotary positions must be even and at least {least}, because coordinates "
                f"turn in pairs, but is {self.width}; choose d_model / n_heads or rotary_dim so"
            )
        for name, value, least in (("factor", self.factor, 1), ("trained", self.trained, 1)):
            if not least <= value < math.inf:
                raise ValueError(f"{name} must be finite and at least {least}, but is {value}")
        if not 1 < self.base < math.inf:
            raise ValueError(f"base must be finite and over 1, but is {self.base}")

    def frequencies(self) -> Float[Tensor, " R2"]:
        """theta_i in radians per position, float64 [R / 2]."""
        return SCALINGS[self.scaling](self)

    def turned(
        self, x: Float[Tensor, "*heads S W"], positions: Num[Tensor, " S"] | None = None
    ) -> Float[Tensor, "*heads S W"]:
        """Turn every head vector by the angles of its position, and leave what lies beyond the width as it is.

        Parameters
        ----------
        x
            Queries or keys, [..., S, W] with W at least the width.
        positions
            Where the tokens are, [S]; None: at 0, 1, ..., S - 1.
        """
        if positions is None:
            positions = torch.arange(x.shape[-2], device=x.device)
        # In float64, because at a position of a million float32 knows an angle to a tenth of a radian only.
        angle_SR = torch.outer(positions.double(), self.frequencies().to(x.device))
        cos, sin = (self._size() * angle_SR.cos()).to(x.dtype), (self._size() * angle_SR.sin()).to(x.dtype)
        turning, rest = x.split((self.width, x.shape[-1] - self.width), -1)
        first, second = turning.chunk(2, -1)
        return torch.cat([first * cos - second * sin, first * sin + second * cos, rest], -1)

    def _size(self) -> float:
        """YaRN's factor of queries and keys, which sharpens the softmax over more keys."""
        return 0.1 * math.log(self.factor) + 1 if self.scaling == "yarn" else 1.0


def _geometric(width: int, base: float) -> Tensor:
    return base ** -(torch.arange(0, width, 2, dtype=torch.float64) / width)


def _as_trained(rotary: Rotary) -> Tensor:
    return _geometric(rotary.width, rotary.base)


def _linear(rotary: Rotary) -> Tensor:
    return _as_trained(rotary) / rotary.factor


def _ntk(rotary: Rotary) -> Tensor:
    return _geometric(rotary.width, rotary.base * rotary.factor ** (rotary.width / (rotary.width - 2)))


def _yarn(rotary: Rotary) -> Tensor:
    theta = _as_trained(rotary)
    turns = rotary.trained * theta / (2 * math.pi)
    kept = ((turns - SLOW) / (FAST - SLOW)).clamp(0, 1)
    return kept * theta + (1 - kept) * theta / rotary.factor


SCALINGS: Mapping[str, Callable[[Rotary], Tensor]] = MappingProxyType(
    {"none": _as_trained, "linear": _linear, "ntk": _ntk, "yarn": _yarn}
)
