"""Organisms whose components add to a residual stream: what follows from that alone, for every such family.

Shape suffixes: B examples, L layers, C slots of a layer, N = L C, S tokens, D residual width.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from organisms.layers.norms import rms_norm
from organisms.mixer import mixed_tokens
from organisms.nn import Interface, example_losses, readout, stem
from organisms.pool import Pool
from organisms.residual.writes import Writes
from organisms.task import Task

QUIET = 0.1  # an activation under this share of the component's RMS counts as off


@dataclass(frozen=True, eq=False)
class Observed:
    """What every slot of a layer writes, and four of its measures.

    A gate multiplies what its slot writes; families whose slots compete have another gate.
    """

    writes: Writes
    span: Tensor  # [C], in the unit of the task's distances
    sparsity: Tensor  # [C]: share of quiet activations, see `quiet_share`
    locality: Tensor  # [C], as a share: of the largest distance, or of the largest entropy
    intensity: Tensor  # float64 [C]: log2 of counted FLOPs over counted bytes
    routed_tokens: Tensor | None = (
        None  # int64 [B, C]: tokens of each example that it answers; None: it answers all
    )

    def by_gates(self, slots: Sequence[int], slope_BSD: Tensor) -> Tensor:
        """Slopes of a loss by the gates of n slots, [B, n], where `slope_BSD` is that by the stream."""
        return self.writes[slots].along(slope_BSD)

    def without(self, slots: Sequence[int]) -> Writes | Iterable[Tensor]:
        """How what the layer adds changes when each of n slots alone is gated off, n times [B, S, D]."""
        return -self.writes[slots]


def quiet_share(activations: Tensor) -> Tensor:
    """Share of activations under a tenth of their root mean square, a scalar; of none at all 0."""
    power = activations.square()
    return (power < QUIET**2 * power.mean()).float().mean() if power.numel() else power.new_zeros(())


class ResidualOrganism(nn.Module, ABC):
    """``x <- x + sum_n gate_n component_n(rms_norm(x))`` per layer, between a frozen stem and readout.

    Where the interface has a mixer, it moves information between tokens before the components of each layer read.
    """

    def __init__(self, task: Task, interface: Interface, pool: Pool) -> None:
        super().__init__()
        self.task = task
        self.interface = dict(interface)
        self.pool = pool

    @abstractmethod
    def mixed(self, layer: int, h_BSD: Tensor, gates: Tensor | None = None) -> Tensor:
        """Sum of what the components of a layer write when they read h, [B, S, D]; `gates` as in `forward`."""

    @abstractmethod
    def observed(self, layer: int, h_BSD: Tensor) -> Observed:
        """What each of them writes, and how."""

    @abstractmethod
    def guests(self, layer: int, h_BSD: Tensor, slots: Sequence[int]) -> Any:
        """What n slots of a layer (from 0) bring along when each is grafted into a host whose components read h."""

    @abstractmethod
    def residents(self, layer: int, h_BSD: Tensor) -> Any:
        """What the living components of a layer put beside a graft when they read h; it is computed once for a host."""

    @abstractmethod
    def grafted(self, residents: Any, guests: Any, x_BSD: Tensor) -> Writes | Iterable[Tensor]:
        """How the stream x after a layer changes when each of n guests alone joins its residents, n times [B, S, D]."""

    @abstractmethod
    def training_losses(self, inputs: Tensor, targets: Tensor, gates: Tensor | None = None) -> Tensor:
        """What training minimises the mean of, [B]."""

    def forward(self, inputs: Tensor, gates: Tensor | None = None) -> Tensor:
        """Return outputs for a batch of inputs; of `gates` [N] 0 is as an empty slot, 1 as none given."""
        x = stem(self.task, self.interface, inputs)
        for layer in range(self.pool.depth):
            x = self.entering(layer, x)
            x = x + self.mixed(layer, rms_norm(x), gates)
        return readout(self.task, self.interface, x)

    def entering(self, layer: int, x_BSD: Tensor) -> Tensor:
        """Return the stream that the components of a layer read and add to."""
        return mixed_tokens(self.task, self.interface, layer, x_BSD)

    def tail(self, layer: int, x_BSD: Tensor, targets: Tensor) -> Tensor:
        """Loss of each example, [B], from the residual stream after the layer before `layer`."""
        for later in range(layer, self.pool.depth):
            x_BSD = self.entering(later, x_BSD)
            x_BSD = x_BSD + self.mixed(later, rms_norm(x_BSD))
        return example_losses(self.task, readout(self.task, self.interface, x_BSD), targets)

    def changed_losses(
        self, layer: int, x_BSD: Tensor, changes: Writes | Iterable[Tensor], targets: Tensor
    ) -> Tensor:
        """Losses [n, B] when each of n changes alone is added to the stream after the layer before `layer`."""
        if isinstance(changes, Writes):
            if layer == self.pool.depth:
                return example_losses(self.task, changes.outputs(self.task, self.interface, x_BSD), targets)
            changes = changes.dense()
        losses = [self.tail(layer, x_BSD + y_BSD, targets) for y_BSD in changes]
        return torch.stack(losses) if losses else x_BSD.new_zeros(0, len(x_BSD))

    def stats(self) -> dict[str, float]:
        """Living slots and parameters."""
        living = [slot for slot, _ in self.pool.alive()]
        parameters = sum(array.size for slot in living for array in self.pool.genome(slot).arrays.values())
        return {"alive": float(len(living)), "parameters": float(parameters)}
