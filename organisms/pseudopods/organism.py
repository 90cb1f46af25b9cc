"""An organism of pseudopods: all heads of a layer in one batched attention, added to the residual stream.

Shape suffixes: B examples, L layers, C slots of a layer, N = L C, S tokens, D residual width, R and W inner
sizes of the QK and OV circuits.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kernels.attention import AttentionStatistics, attention
from organisms.nn import Interface, example_losses, readout, rms_norm, stem
from organisms.pool import Pool
from organisms.task import Task
from organisms.writes import Writes


class PseudopodOrganism(nn.Module):
    """``x <- x + sum_n gate_n pseudopod_n(rms_norm(x))`` per layer, between a frozen stem and readout."""

    def __init__(self, task: Task, interface: Interface, pool: Pool) -> None:
        super().__init__()
        self.task = task
        self.interface = dict(interface)
        self.pool = pool
        self.positions = torch.tensor(task.positions, dtype=torch.float32, device=pool.counts.device)

    def forward(self, inputs: Tensor, gates: Tensor | None = None) -> Tensor:
        """Give outputs for a batch of inputs; `gates` [N] scale what each slot writes."""
        x = stem(self.task, self.interface, inputs)
        for layer in range(self.pool.depth):
            x = x + self.mixed(layer, rms_norm(x), gates)
        return readout(self.task, self.interface, x)

    def mixed(self, layer: int, h_BSD: Tensor, gates: Tensor | None = None) -> Tensor:
        """Sum of what the heads of a layer write, [B, S, D], as one matrix product over all slots."""
        write_CWD = self.pool.layers("ov.V")[layer]
        if gates is not None:
            write_CWD = write_CWD * gates.view(self.pool.depth, -1)[layer, :, None, None]
        return Writes(attention(*self.circuits(layer, h_BSD), **self.sight(layer)).output, write_CWD).total()

    def writes(self, layer: int, h_BSD: Tensor, slots: Sequence[int]) -> Writes:
        """What each of these heads (slots of the layer, from 0) writes."""
        found = attention(*self.circuits(layer, h_BSD), **self.sight(layer))
        return Writes(found.output, self.pool.layers("ov.V")[layer])[slots]

    def observed(self, layer: int, h_BSD: Tensor) -> tuple[Writes, AttentionStatistics]:
        """What every head of a layer writes, and where it looks."""
        found = attention(*self.circuits(layer, h_BSD), **self.sight(layer), statistics=True)
        assert found.statistics is not None  # they were asked for
        return Writes(found.output, self.pool.layers("ov.V")[layer]), found.statistics

    def circuits(self, layer: int, h_BSD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Give queries, keys and values of a layer, [B, C, S, *]."""
        q_BCSR = _project(h_BSD, self.pool.layers("qk.U")[layer])
        k_BCSR = _project(h_BSD, self.pool.layers("qk.V")[layer].transpose(1, 2))
        v_BCSW = _project(h_BSD, self.pool.layers("ov.U")[layer])
        return q_BCSR, k_BCSR, v_BCSW

    def sight(self, layer: int) -> dict[str, Any]:
        """What the heads of a layer may see and how sharply: the options of `kernels.attention.attention`."""
        scale_C, window_C = self._settings(layer)
        return {
            "scale": scale_C,
            "window": window_C,
            "positions": self.positions,
            "causal": self.task.causal,
        }

    def tail(self, layer: int, x_BSD: Tensor, targets: Tensor) -> Tensor:
        """Loss of each example, [B], from the residual stream that enters `layer`."""
        for later in range(layer, self.pool.depth):
            x_BSD = x_BSD + self.mixed(later, rms_norm(x_BSD))
        return example_losses(self.task, readout(self.task, self.interface, x_BSD), targets)

    def changed_losses(self, layer: int, x_BSD: Tensor, writes: Writes, targets: Tensor) -> Tensor:
        """Losses [n, B] when each of the writes alone is added to the stream that enters `layer`."""
        if layer == self.pool.depth:
            return example_losses(self.task, writes.outputs(self.task, self.interface, x_BSD), targets)
        losses = [self.tail(layer, x_BSD + y_BSD, targets) for y_BSD in writes.dense()]
        return torch.stack(losses) if losses else x_BSD.new_zeros(0, len(x_BSD))

    def stats(self) -> dict[str, float]:
        """Living slots and parameters."""
        living = [slot for slot, _ in self.pool.alive()]
        parameters = sum(array.size for slot in living for array in self.pool.genome(slot).arrays.values())
        return {"alive": float(len(living)), "parameters": float(parameters)}

    def _settings(self, layer: int) -> tuple[Tensor, Tensor]:
        capacity = self.pool.capacity
        occupants = self.pool.occupants[layer * capacity : (layer + 1) * capacity]
        genes = [{} if occupant is None else dict(occupant.genes) for occupant in occupants]
        scales = [gene["temperature"] / gene["rank"] ** 0.5 if gene else 1.0 for gene in genes]
        windows = [gene["window"] if gene else 1.0 for gene in genes]
        device = self.positions.device
        return torch.tensor(scales, device=device), torch.tensor(windows, device=device)


def _project(h_BSD: Tensor, read_CDR: Tensor) -> Tensor:
    """Read h through every slot's matrix: [B, C, S, R], as one matrix product."""
    slots, width, inner = read_CDR.shape
    joined = h_BSD @ read_CDR.transpose(0, 1).reshape(width, slots * inner)
    return joined.unflatten(-1, (slots, inner)).transpose(1, 2)
