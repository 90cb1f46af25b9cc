"""Learnt modulation of a walk: where it lingers, by what it walks between."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from kernels import arguments
from organisms.layers.initialisation import drawn
from organisms.towers.component import TorchComponent
from organisms.towers.fusion.component import check_sizes
from organisms.towers.geometry.stream import named_generator
from organisms.towers.walkers.auxiliary import AUXILIARIES
from organisms.towers.walkers.walker import ConfigurableWalker


class WalkerInception(TorchComponent):
    """Moves the inner stops of a walker: t'_s = sum_{r <= s} softmax_r(log(t_r - t_{r-1}) + d_r), d learnt of a and b.

    d = W2 gelu(W1 [P a; P b; auxiliary] + b1) + b2. The ends stay, stops never change their order, and d = 0, as at
    first, leaves them where the schedule has them; so whatever a blend keeps between a and b stays between them. With
    512 features and 8 stops it has 19 thousand parameters (20 thousand in the documents, which do not define it: the
    equation is ours).

    Parameters
    ----------
    name
        Name of the component.
    in_features
        D, the width of an opinion.
    num_steps
        S, the stops of the walker, from 2 on.
    aux_type
        A name in `AUXILIARIES`: cosine, geometric, learned or walker_path.
    hidden
        Rows of P and of W1.
    seed
        With the name, what uuid and parameters are drawn from; None: a uuid of its own, and the parameters of seed 0.
    device
        Options of `TorchComponent`.

    Raises
    ------
    ValueError
        If there is no such auxiliary, or a size is no whole number from 1 on, or one stop has nowhere to go.
    """

    def __init__(
        self,
        name: str,
        in_features: int,
        num_steps: int = 8,
        aux_type: str = "cosine",
        *,
        hidden: int = 32,
        seed: int | None = None,
        **device: Any,
    ) -> None:
        super().__init__(name, seed=seed, **device)
        check_sizes(name, in_features=in_features, num_steps=num_steps, hidden=hidden)
        arguments.one_of("aux_type", aux_type, tuple(AUXILIARIES))
        if num_steps < 2:
            raise ValueError(
                f"num_steps of {name!r} must be at least 2, beginning and end, but is {num_steps}"
            )
        self.in_features, self.num_steps, self.aux_type = in_features, num_steps, aux_type
        source = named_generator(seed, f"WalkerInception:{name}")
        self._auxiliary = AUXILIARIES[aux_type]
        width = self._auxiliary.width(num_steps)
        self.project = _matrix(hidden, in_features, source)
        self.learned = _matrix(width, in_features, source) if aux_type == "learned" else None
        self.read = _matrix(hidden, 2 * hidden + width, source)
        self.read_bias = nn.Parameter(torch.zeros(hidden))
        self.move = nn.Parameter(torch.zeros(num_steps - 1, hidden))
        self.move_bias = nn.Parameter(torch.zeros(num_steps - 1))

    def forward(
        self, a: Float[Tensor, "*batch D"], b: Float[Tensor, "*batch D"], walker: ConfigurableWalker
    ) -> Float[Tensor, "S *batch 1"]:
        """Return the stops of a walk, [S, ..., 1].

        Parameters
        ----------
        a, b
            Where it begins and ends, [..., D].
        walker
            Whose stops are moved.
        """
        auxiliary = self._auxiliary.features(a, b, lambda: walker.path(a, b))
        if self.learned is not None:
            auxiliary = F.linear(auxiliary, self.learned).tanh()
        seen = torch.cat([F.linear(a, self.project), F.linear(b, self.project), auxiliary], -1)
        moved = F.linear(F.gelu(F.linear(seen, self.read, self.read_bias)), self.move, self.move_bias)
        return moved_stops(torch.tensor(walker.stops, dtype=moved.dtype, device=moved.device), moved)


def moved_stops(stops: Float[Tensor, " S"], logits: Float[Tensor, "*batch K"]) -> Float[Tensor, "S *batch 1"]:
    """Return the cumulative sums of softmax(log(steps) + logits) for the K = S - 1 steps between stops from 0 to 1."""
    steps = (stops.diff().log() + logits).softmax(-1)
    inner = steps.cumsum(-1)[..., :-1]
    ends = torch.zeros_like(steps[..., :1])
    return torch.cat([ends, inner, ends + 1], -1).movedim(-1, 0).unsqueeze(-1)


def _matrix(rows: int, columns: int, source: torch.Generator) -> nn.Parameter:
    return nn.Parameter(drawn((rows, columns), (columns, rows), "xavier_uniform", source))
