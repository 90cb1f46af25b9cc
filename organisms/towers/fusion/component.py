"""The base of all fusions."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from organisms.layers.initialisation import drawn
from organisms.towers.component import TorchComponent
from organisms.towers.fusion.opinions import stacked
from organisms.towers.geometry.stream import named_generator


class FusionComponent(TorchComponent, ABC):
    """One opinion of N; a subclass implements `fuse`.

    Parameters
    ----------
    name
        Name of the component.
    num_inputs
        N, the number of opinions.
    in_features
        D, the width of an opinion.
    seed
        With the name, what uuid and parameters are drawn from; None: a uuid of its own, and the parameters of seed 0.
    device
        Options of `TorchComponent`.

    Raises
    ------
    ValueError
        If N or D is no whole number from 1 on.
    """

    def __init__(
        self, name: str, num_inputs: int, in_features: int, *, seed: int | None = None, **device: Any
    ) -> None:
        super().__init__(name, seed=seed, **device)
        check_sizes(name, num_inputs=num_inputs, in_features=in_features)
        self.num_inputs, self.in_features, self.seed = num_inputs, in_features, seed

    def forward(self, *opinions: Tensor, **options: Any) -> Tensor:
        """Return the fused opinion, [..., D].

        Parameters
        ----------
        opinions
            N tensors [..., D] of one shape, in the order of the towers.
        options
            Passed on to `fuse`.

        Raises
        ------
        ValueError
            If there are more or fewer, or they differ in shape, dtype or device.
        """
        return self.fuse(stacked(self.name, opinions, self.num_inputs, self.in_features), **options)

    @abstractmethod
    def fuse(self, opinions: Float[Tensor, "N *batch D"]) -> Float[Tensor, "*batch D"]:
        """Return the fused opinion of opinions that are stacked already, as `stacked` does."""

    def matrix(self, what: str, *shape: int) -> nn.Parameter:
        """Return a new matrix [n, m], or a stack of them, of m inputs and n outputs (Glorot and Bengio 2010)."""
        source = named_generator(self.seed, f"{type(self).__name__}:{self.name}:{what}")
        return nn.Parameter(drawn(shape, (shape[-1], shape[-2]), "xavier_uniform", source))


def check_sizes(name: str, **sizes: int) -> None:
    """Refuse sizes of a component that are no whole numbers from 1 on.

    Raises
    ------
    ValueError
        For the first that is none.
    """
    for option, value in sizes.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{option} of {name!r} must be a whole number from 1 on, but is {value!r}")


def same_for_each(parameter: Tensor, batch_axes: int) -> Tensor:
    """Return a parameter [N] as [N, 1, ..., 1], for as many axes as examples have."""
    return parameter.reshape(-1, *[1] * batch_axes)


def per_input(
    opinions: Float[Tensor, "N *batch D"], weight: Float[Tensor, "N D"]
) -> Float[Tensor, " N *batch"]:
    """Return w_n . o_n of each input's own weight."""
    return torch.einsum("n...d,nd->n...", opinions, weight)
