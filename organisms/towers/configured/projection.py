"""Projections: opinions of one shape from what has another."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from organisms.towers.component import TorchComponent
from organisms.towers.configured.drawn import linear
from organisms.towers.fusion.component import check_sizes
from organisms.towers.geometry.stream import named_generator


class ProjectionComponent(TorchComponent, ABC):
    """A map of the last axis of a tensor, [..., D], to another shape; a subclass says to which.

    Parameters
    ----------
    name
        Name of the component.
    in_features
        D.
    out_features
        E, the width of what it gives; None: D.
    seed
        With the name, what uuid and parameters are drawn from; None: a uuid of its own, and the parameters of seed 0.
    device
        Options of `TorchComponent`.

    Raises
    ------
    ValueError
        If a size is no whole number from 1 on.
    """

    def __init__(
        self,
        name: str,
        in_features: int,
        out_features: int | None = None,
        *,
        seed: int | None = None,
        **device: Any,
    ) -> None:
        super().__init__(name, seed=seed, **device)
        out_features = in_features if out_features is None else out_features
        check_sizes(name, in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Return the projection of a tensor [..., D]."""

    def map(self, rows: int, seed: int | None) -> nn.Linear:
        """Return a new linear map from D to so many numbers."""
        source = named_generator(seed, f"{type(self).__name__}:{self.name}")
        return linear(self.in_features, rows, source)


class LinearProjection(ProjectionComponent):
    """y = W x + b, [..., E]: brings towers of different widths to the one that a fusion is made for.

    Parameters
    ----------
    name, in_features, out_features, seed, device
        As of `ProjectionComponent`.
    """

    def __init__(
        self,
        name: str,
        in_features: int,
        out_features: int | None = None,
        *,
        seed: int | None = None,
        **device: Any,
    ) -> None:
        super().__init__(name, in_features, out_features, seed=seed, **device)
        self.project = self.map(self.out_features, seed)

    def forward(self, x: Tensor) -> Tensor:
        """Return W x + b for x [..., D]."""
        return self.project(x)


class SlotProjection(ProjectionComponent):
    """y_s = W_s x + b_s for s = 1 to S, [..., S, E]: S views of one vector, side by side as a sequence of S tokens.

    What reads sequences may so look at one opinion from several sides at once. The equation is ours: the documents say
    "enables multi-view processing".

    Parameters
    ----------
    name, in_features
        As of `ProjectionComponent`.
    num_slots
        S.
    out_features, seed, device
        As of `ProjectionComponent`.

    Raises
    ------
    ValueError
        If a size is no whole number from 1 on.
    """

    def __init__(
        self,
        name: str,
        in_features: int,
        num_slots: int,
        out_features: int | None = None,
        *,
        seed: int | None = None,
        **device: Any,
    ) -> None:
        super().__init__(name, in_features, out_features, seed=seed, **device)
        check_sizes(name, num_slots=num_slots)
        self.num_slots = num_slots
        self.project = self.map(num_slots * self.out_features, seed)

    def forward(self, x: Tensor) -> Tensor:
        """Return the slots [..., S, E] of x [..., D]."""
        return self.project(x).unflatten(-1, (self.num_slots, self.out_features))
