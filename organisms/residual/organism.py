"""The base of organisms whose components add to a residual stream: the forward pass, and losses of changed streams.

Shape suffixes: B examples, L layers, C slots of a layer, N = L C, S tokens, D residual width.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from kernels.kernel import AUTO, Kernel
from organisms.layers.norms import rms_norm
from organisms.mixer import mixed_tokens
from organisms.nn import Interface, example_losses, read_losses, readout, stem
from organisms.pool import Pool
from organisms.residual.writes import Writes
from organisms.task import Task

QUIET = 0.1  # an activation under this share of the component's RMS counts as off


@dataclass(frozen=True, eq=False)
class Observed:
    """What every slot of a layer writes, and which tokens are routed to it.

    The gates here multiply what a slot writes; a family whose slots compete overrides `without`.
    """

    writes: Writes
    # int64 [B, C]: tokens of each example that are routed to it; None: all are
    routed_tokens: Tensor | None = None

    def without(self, slots: Sequence[int]) -> Writes | Iterable[Tensor]:
        """Return the change of what the layer adds when each of n slots alone is gated off, n times [B, S, D]."""
        return -self.writes[slots]


def quiet_share(activations: Tensor) -> Tensor:
    """Return the share of activations under a tenth of their root mean square, a scalar; 0 if there are none."""
    number = activations.numel()
    if not number:
        return activations.new_zeros(())
    loud = QUIET * torch.linalg.vector_norm(activations) / number**0.5
    return activations.abs().lt_(loud).mean()  # in place: a third of the time that bools take


def projected(h_BSD: Tensor, read_CDR: Tensor, kernel: Kernel = AUTO) -> Tensor:
    """Multiply h by every slot's matrix, [B, C, S, R], as one matrix product.

    Parameters
    ----------
    h_BSD
        The normalised stream.
    read_CDR
        The matrix of every slot.
    kernel
        What multiplies.
    """
    slots, _, inner = read_CDR.shape
    joined = kernel.product(h_BSD, read_CDR.transpose(1, 2).flatten(0, 1))
    return joined.unflatten(-1, (slots, inner)).transpose(1, 2)


class ResidualOrganism(nn.Module, ABC):
    """``x <- x + sum_n gate_n component_n(rms_norm(x))`` per layer, between a frozen stem and readout.

    Where the interface has a mixer, its attention is applied to the stream before the components of each layer read it.
    """

    def __init__(self, task: Task, interface: Interface, pool: Pool) -> None:
        super().__init__()
        self.task = task
        self.interface: Interface = dict(interface)
        self.pool = pool

    @abstractmethod
    def mixed(self, layer: int, h_BSD: Tensor, gates: Tensor | None = None) -> Tensor:
        """Return the sum of what the components of a layer write, [B, S, D].

        Parameters
        ----------
        layer
            Number of the layer, from 0.
        h_BSD
            The normalised stream that they read.
        gates
            Gate of every slot of the organism, [N], as in `forward`; None: all are 1.
        """

    @abstractmethod
    def observed(self, layer: int, h_BSD: Tensor) -> Observed:
        """Observe what every slot of a layer writes when it reads the normalised stream h."""

    @abstractmethod
    def guests(self, layer: int, h_BSD: Tensor, slots: Sequence[int], names: Sequence[str] = ()) -> Any:
        """Return what `joined` needs to know of n components to be grafted into a host.

        Parameters
        ----------
        layer
            Number of the layer, from 0.
        h_BSD
            The normalised stream that the host's components read in this layer.
        slots
            Slots of this organism's layer, counted from its first.
        names
            The measures for which `described` is to be asked.
        """

    @abstractmethod
    def residents(self, layer: int, h_BSD: Tensor) -> Any:
        """Return what `grafted` and `described` need to know of a host's own components; made once for each host."""

    def joined(self, residents: Any, guests: Any) -> Any:
        """Return what `grafted`, `written` and `described` take of n guests, each alone among a host's own components.

        By default it is what `guests` returned: whatever a host's own components change in them is computed here, once.

        Parameters
        ----------
        residents
            What `residents` returned for the host's layer.
        guests
            What `guests` returned for the n components.
        """
        return guests

    @abstractmethod
    def grafted(self, residents: Any, guests: Any, x_BSD: Tensor) -> Writes | Iterable[Tensor]:
        """Return the changes of the stream after a layer when each of n guests alone is grafted, n times [B, S, D].

        Parameters
        ----------
        residents
            What `residents` returned for the host's layer.
        guests
            What `joined` returned for the n components.
        x_BSD
            The host's stream after the layer.
        """

    @abstractmethod
    def written(self, residents: Any, guests: Any) -> Writes:
        """Return what each of n guests itself adds to the stream, where `grafted` counts what others lose by it too.

        Parameters
        ----------
        residents
            What `residents` returned for the host's layer.
        guests
            What `joined` returned for the n components.
        """

    @abstractmethod
    def described(self, residents: Any, guests: Any, names: Sequence[str]) -> Mapping[str, Tensor]:
        """Measure n guests, each alone among a host's own components of the layer, float64 [n] by name.

        Parameters
        ----------
        residents
            What `residents` returned for the host's layer.
        guests
            What `joined` returned for the n components, which were asked for with these names.
        names
            The measures that are wanted, without those that follow from what is written and from losses alone
            (`organisms.residual.effects`).
        """

    def training_losses(self, inputs: Tensor, targets: Tensor, gates: Tensor | None = None) -> Tensor:
        """Return the losses whose mean training minimises, [B]: those of the task.

        Parameters
        ----------
        inputs, targets
            B examples of the task.
        gates
            Gate of every slot, [N], as in `forward`; None: all are 1.
        """
        return example_losses(self.task, self(inputs, gates), targets)

    def forward(self, inputs: Tensor, gates: Tensor | None = None) -> Tensor:
        """Return outputs for a batch of inputs.

        A gate of 0 (of `gates` [N], in [0, 1]) makes its slot as good as empty; where none are given, all are 1.
        """
        return readout(self.task, self.interface, self.stream(inputs, gates))

    def stream(self, inputs: Tensor, gates: Tensor | None = None) -> Tensor:
        """Return the residual stream after the last layer, [B, S, D]; gates as in `forward`."""
        x = stem(self.task, self.interface, inputs)
        for layer in range(self.pool.depth):
            x = self.entering(layer, x)
            x = x + self.mixed(layer, rms_norm(x), gates)
        return x

    def entering(self, layer: int, x_BSD: Tensor) -> Tensor:
        """Return the stream that the components of a layer read and add to."""
        return mixed_tokens(self.task, self.interface, layer, x_BSD)

    def frozen(self) -> Self:
        """Return an organism of the same pool for a host, which does not change any more; by default this one."""
        return self

    def tail(self, layer: int, x_BSD: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each example, [B], from the residual stream before a layer.

        Parameters
        ----------
        layer
            First layer that is still to be computed; `depth` of the pool: none is.
        x_BSD
            The stream before it.
        targets
            Of the B examples.
        """
        for later in range(layer, self.pool.depth):
            x_BSD = self.entering(later, x_BSD)
            x_BSD = x_BSD + self.mixed(later, rms_norm(x_BSD))
        return read_losses(self.task, self.interface, x_BSD, targets)

    def changed_losses(
        self, layer: int, x_BSD: Tensor, changes: Writes | Iterable[Tensor], targets: Tensor
    ) -> Tensor:
        """Return the losses [n, B] when each of n changes alone is added to the stream before a layer.

        Parameters
        ----------
        layer
            First layer that is still to be computed; `depth` of the pool: none is.
        x_BSD
            The stream before it, without any change.
        changes
            What is added, n times [B, S, D].
        targets
            Of the B examples.
        """
        if isinstance(changes, Writes):
            if layer == self.pool.depth:
                return changes.losses(self.task, self.interface, x_BSD, targets)
            changes = changes.dense()
        losses = [self.tail(layer, x_BSD + y_BSD, targets) for y_BSD in changes]
        return torch.stack(losses) if losses else x_BSD.new_zeros(0, len(x_BSD))

    def stats(self) -> dict[str, float]:
        """Return the numbers of living slots and of their parameters."""
        living = [slot for slot, _ in self.pool.alive()]
        parameters = sum(array.size for slot in living for array in self.pool.genome(slot).arrays.values())
        return {"alive": float(len(living)), "parameters": float(parameters)}
