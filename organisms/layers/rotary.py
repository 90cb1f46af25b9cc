"""Rotary position embedding: queries and keys are rotated in proportion to their position (Su et al. 2021, RoFormer).

A head of width R is R / 2 complex numbers, of which number i is (x_i, x_(i + R/2)). At position p each is rotated
by the angle p theta_i, with frequencies theta_i = base^(-2 i / R): the product of a query and a key then depends on
the distance of their positions alone. A model that was trained on L positions and must read s L of them can lower the
frequencies:

    linear  theta_i / s                                    Chen et al. (2023), arXiv:2306.15595
    ntk     the base times s^(R / (R - 2)): the highest frequency stays, the lowest is divided by s
                                                           bloc97 (2023), "NTK-aware scaled RoPE"
    yarn    by the rotations within L, r_i = L theta_i / (2 pi): theta_i from 32 rotations on, theta_i / s up to one,
            linear in r between; and queries and keys times 0.1 ln s + 1
                                                           Peng et al. (2023), arXiv:2309.00071
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn

from kernels import arguments

SLOW, FAST = 1.0, 32.0  # rotations within the trained length, between which YaRN blends


class RoPE(nn.Module):
    """Rotary position embedding of queries and keys; without parameters.

    Parameters
    ----------
    width
        R, the first coordinates of a head, which are rotated: even, and for "ntk" over 2.
    base
        Over 1; theta_i = base^(-2 i / R).
    scaling
        A name in `SCALINGS`.
    factor
        s, the longest sequence over the trained length; at least 1.
    trained
        L, the trained length in positions, at least 1; only "yarn" asks for it.

    Raises
    ------
    ValueError
        If one of them is not so.
    """

    def __init__(
        self,
        width: int,
        base: float = 10_000.0,
        scaling: str = "none",
        factor: float = 1.0,
        trained: int = 2048,
    ) -> None:
        super().__init__()
        arguments.one_of("scaling", scaling, tuple(SCALINGS))
        least = 4 if scaling == "ntk" else 2
        if width < least or width % 2:
            raise ValueError(
                f"width of {scaling} rotary positions must be even and at least {least}, because coordinates are "
                f"rotated in pairs, but is {width}; choose d_model / n_heads or rotary_dim so"
            )
        for name, value in (("factor", factor), ("trained", trained)):
            if not 1 <= value < math.inf:
                raise ValueError(f"{name} must be finite and at least 1, but is {value}")
        if not 1 < base < math.inf:
            raise ValueError(f"base must be finite and over 1, but is {base}")
        self.width, self.base = width, base
        self.scaling, self.factor, self.trained = scaling, factor, trained

    def extra_repr(self) -> str:
        """Return the settings, as ``print`` shows them."""
        scaling = f"scaling={self.scaling!r}, factor={self.factor}, trained={self.trained}"
        return f"width={self.width}, base={self.base}, {scaling}"

    def frequencies(self) -> Float[Tensor, " R2"]:
        """theta_i in radians per position, float64 [R / 2]."""
        return SCALINGS[self.scaling](self)

    def forward(
        self,
        q: Float[Tensor, "*heads S W"],
        k: Float[Tensor, "*others S W"],
        positions: Num[Tensor, " S"] | None = None,
    ) -> tuple[Float[Tensor, "*heads S W"], Float[Tensor, "*others S W"]]:
        """Return rotated queries and keys.

        Parameters
        ----------
        q, k
            Queries and keys, [..., S, W]; of grouped queries the numbers of heads differ.
        positions
            As in `rotated`.
        """
        return self.rotated(q, positions), self.rotated(k, positions)

    def rotated(
        self, x: Float[Tensor, "*heads S W"], positions: Num[Tensor, " S"] | None = None
    ) -> Float[Tensor, "*heads S W"]:
        """Return every head vector rotated by the angles of its position; coordinates beyond the width stay.

        Parameters
        ----------
        x
            Queries or keys, [..., S, W] with W at least the width.
        positions
            Positions of the tokens, [S]; None: 0, 1, ..., S - 1.
        """
        if positions is None:
            positions = torch.arange(x.shape[-2], device=x.device)
        return self.turned(x, self.turns(positions, x.dtype))

    def turns(self, positions: Num[Tensor, " S"], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return what `turned` multiplies both halves of a head by at these positions, both [S, R]."""
        # In float64, because at a position of a million a float32 angle is only known to a tenth of a radian.
        angle_SR = torch.outer(positions.double(), self.frequencies().to(positions.device))
        cos, sin = (self._scale() * angle_SR.cos()).to(dtype), (self._scale() * angle_SR.sin()).to(dtype)
        return torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1)

    def turned(
        self, x: Float[Tensor, "*heads S W"], turns: tuple[Tensor, Tensor]
    ) -> Float[Tensor, "*heads S W"]:
        """Return head vectors rotated by the `turns` of their positions; coordinates beyond the width stay."""
        rotating, rest = x.split((self.width, x.shape[-1] - self.width), -1)
        first, second = rotating.chunk(2, -1)
        # Both halves at once: the same products and sums as one by one, in longer rows.
        rotated = rotating * turns[0] + torch.cat([second, first], -1) * turns[1]
        return torch.cat([rotated, rest], -1) if rest.shape[-1] else rotated

    def _scale(self) -> float:
        """YaRN's factor of queries and keys, which sharpens the softmax over more keys."""
        return 0.1 * math.log(self.factor) + 1 if self.scaling == "yarn" else 1.0


def _geometric(width: int, base: float) -> Tensor:
    return base ** -(torch.arange(0, width, 2, dtype=torch.float64) / width)


def _as_trained(rope: RoPE) -> Tensor:
    return _geometric(rope.width, rope.base)


def _linear(rope: RoPE) -> Tensor:
    return _as_trained(rope) / rope.factor


def _ntk(rope: RoPE) -> Tensor:
    return _geometric(rope.width, rope.base * rope.factor ** (rope.width / (rope.width - 2)))


def _yarn(rope: RoPE) -> Tensor:
    theta = _as_trained(rope)
    rotations = rope.trained * theta / (2 * math.pi)
    kept = ((rotations - SLOW) / (FAST - SLOW)).clamp(0, 1)
    return kept * theta + (1 - kept) * theta / rope.factor


SCALINGS: Mapping[str, Callable[[RoPE], Tensor]] = MappingProxyType(
    {"none": _as_trained, "linear": _linear, "ntk": _ntk, "yarn": _yarn}
)
