"""An organism of pseudopods: all heads of a layer in one batched attention, added to the residual stream.

Shape suffixes: B examples, L layers, C slots of a layer, N = L C, S tokens, D residual width, R and W inner
sizes of the QK and OV circuits.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kernels.attention import attention
from kernels.linear import linear
from organisms.nn import Interface, example_losses
from organisms.pool import Pool
from organisms.pseudopods.species.cost import cost
from organisms.residual.organism import Described, Observed, ResidualOrganism, quiet_share
from organisms.residual.writes import Writes
from organisms.task import Task


@dataclass(frozen=True, slots=True, eq=False)
class Heads:
    """What n heads write when they read a host's stream, and what `described` makes of where they attend."""

    writes: Writes
    seen: Described | None  # None: it was not asked for


class PseudopodOrganism(ResidualOrganism):
    """Attention heads that see their windows, each with its own temperature."""

    def __init__(self, task: Task, interface: Interface, pool: Pool) -> None:
        super().__init__(task, interface, pool)
        self.positions = torch.tensor(task.positions, dtype=torch.float32, device=pool.counts.device)

    def training_losses(self, inputs: Tensor, targets: Tensor, gates: Tensor | None = None) -> Tensor:
        """Return the losses of the task, [B].

        Parameters
        ----------
        inputs, targets
            B examples of the task.
        gates
            Gate of every slot, [N], in [0, 1]; None: all are 1.
        """
        return example_losses(self.task, self(inputs, gates), targets)

    def mixed(self, layer: int, h_BSD: Tensor, gates: Tensor | None = None) -> Tensor:
        """Return the sum of what the heads of a layer write, [B, S, D], as one matrix product over all slots.

        Parameters
        ----------
        layer
            Number of the layer, from 0.
        h_BSD
            The normalised stream that the heads read.
        gates
            Gate of every slot of the organism, [N], in [0, 1]; None: all are 1.
        """
        write_CWD = self.pool.layers("ov.V")[layer]
        if gates is not None:
            write_CWD = write_CWD * gates.view(self.pool.depth, -1)[layer, :, None, None]
        found = attention(*self.circuits(layer, h_BSD), **self.attention_options(layer))
        return Writes(found.output, write_CWD).total()

    def guests(self, layer: int, h_BSD: Tensor, slots: Sequence[int], statistics: bool = False) -> Heads:
        """Return what some heads of a layer write when they read a host's stream.

        Parameters
        ----------
        layer
            Number of the layer, from 0.
        h_BSD
            The normalised stream that the host's heads read.
        slots
            Slots of the layer, counted from its first.
        statistics
            Whether where they attend is wanted; locality is a standard deviation of distance.
        """
        options = self.attention_options(layer)
        found = attention(*self.circuits(layer, h_BSD), **options, statistics=statistics)
        writes = Writes(found.output, self.pool.layers("ov.V")[layer])[slots]
        if found.statistics is None:
            return Heads(writes, None)
        quiet = [quiet_share(y_BSD) for y_BSD in writes.dense()]
        return Heads(
            writes,
            Described(
                span=found.statistics.span[slots].double(),
                sparsity=torch.stack(quiet).double() if quiet else h_BSD.new_zeros(0, dtype=torch.float64),
                locality=found.statistics.locality[slots].double() / max(self.task.distances.max(), 1e-12),
                intensity=self._intensities(layer)[slots].to(h_BSD.device),
            ),
        )

    def residents(self, layer: int, h_BSD: Tensor) -> None:
        """Return nothing: what a head adds to the stream does not depend on other heads."""

    def grafted(self, residents: None, guests: Heads, x_BSD: Tensor) -> Writes:
        """Return what each guest writes.

        Parameters
        ----------
        residents
            Nothing; see `residents`.
        guests
            What the n heads to graft write.
        x_BSD
            Not used.
        """
        return guests.writes

    def described(self, residents: None, guests: Heads) -> Described:
        """Return where each guest attends, which does not depend on other heads.

        Parameters
        ----------
        residents
            Nothing; see `residents`.
        guests
            What the n heads to graft write, with statistics.
        """
        assert guests.seen is not None  # they were asked for
        return guests.seen

    def observed(self, layer: int, h_BSD: Tensor) -> Observed:
        """Observe what every head of a layer writes."""
        found = attention(*self.circuits(layer, h_BSD), **self.attention_options(layer))
        return Observed(Writes(found.output, self.pool.layers("ov.V")[layer]))

    def circuits(self, layer: int, h_BSD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values of a layer, [B, C, S, *]."""
        q_BCSR = _project(h_BSD, self.pool.layers("qk.U")[layer])
        k_BCSR = _project(h_BSD, self.pool.layers("qk.V")[layer].transpose(1, 2))
        v_BCSW = _project(h_BSD, self.pool.layers("ov.U")[layer])
        return q_BCSR, k_BCSR, v_BCSW

    def attention_options(self, layer: int) -> dict[str, Any]:
        """Return scale, window and mask of the heads of a layer: the options of `kernels.attention.attention`."""
        scale_C, window_C = self._settings(layer)
        return {
            "scale": scale_C,
            "window": window_C,
            "positions": self.positions,
            "causal": self.task.causal,
        }

    def _intensities(self, layer: int) -> Tensor:
        dim = self.interface["embed"].shape[1]
        costs = [cost(self.task, dim, gene) if gene else (1.0, 1.0) for gene in self.pool.genes(layer)]
        return torch.tensor(
            [math.log2(flops / bytes_moved) for flops, bytes_moved in costs], dtype=torch.float64
        )

    def _settings(self, layer: int) -> tuple[Tensor, Tensor]:
        genes = self.pool.genes(layer)
        scales = [gene["temperature"] / gene["rank"] ** 0.5 if gene else 1.0 for gene in genes]
        windows = [gene["window"] if gene else 1.0 for gene in genes]
        device = self.positions.device
        return torch.tensor(scales, device=device), torch.tensor(windows, device=device)


def _project(h_BSD: Tensor, read_CDR: Tensor) -> Tensor:
    """Multiply h by every slot's matrix, [B, C, S, R], as one matrix product."""
    slots, _, inner = read_CDR.shape
    joined = linear(h_BSD, read_CDR.transpose(1, 2).flatten(0, 1))
    return joined.unflatten(-1, (slots, inner)).transpose(1, 2)
