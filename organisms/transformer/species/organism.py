"""A transformer of shards: all heads of a layer in one batched attention, and all hidden units in one product.

Shape suffixes: B examples, C slots of a layer, n of them, S tokens, D residual width, W width of a head, H hidden units
of a shard. What a shard writes is ``[attended, hidden] [ov.V; out]``, with the inner size W + H.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from kernels.kernel import AUTO, Kernel, Visible
from organisms.nn import Interface
from organisms.pool import Pool
from organisms.residual.organism import Observed, ResidualOrganism, projected, quiet_share
from organisms.residual.writes import Writes
from organisms.task import Task
from organisms.transformer.species.cost import cost

_ATTENTION = ("attention_span", "access_locality", "attention_entropy", "attention_sharpness")


@dataclass(frozen=True, eq=False)
class Shards:
    """What n shards write when they read a host's stream."""

    organism: "TransformerOrganism"
    layer: int
    slots: Sequence[int]
    h_BSD: Tensor
    writes: Writes

    @cached_property
    def weights_nSS(self) -> Tensor:
        """The attention weights of each head, the mean over examples."""
        organism, layer = self.organism, self.layer
        circuits = organism.circuits(layer, self.h_BSD)
        return organism.kernel.weighted(*circuits, organism.visible(layer))[1].mean(0)[self.slots]

    @cached_property
    def patterns(self) -> Tensor:
        """The mean attention weights as unit vectors, float64 [n, S S]."""
        return F.normalize(self.weights_nSS.flatten(1).double(), dim=1)

    def attention(self) -> dict[str, Tensor]:
        """Return where each head attends, float64 [n] by name of the measure."""
        organism, task = self.organism, self.organism.task
        circuits, visible = organism.circuits(self.layer, self.h_BSD), organism.visible(self.layer)
        _, where = organism.kernel.observed(*circuits, visible)
        furthest, most = max(task.reach, 1e-12), max(math.log(task.length), 1e-12)
        found = {
            "attention_span": where.span.double() / furthest,
            "access_locality": where.locality.double() / furthest,
            "attention_entropy": where.entropy.double() / most,
            "attention_sharpness": where.largest.double(),
        }
        return {name: each[self.slots] for name, each in found.items()}

    def sparsity(self) -> Tensor:
        """Return the share of each shard's hidden units' numbers that are quiet, float64 [n]."""
        width = self.organism.pool.stacks["ov.V"].shape[1]
        hidden_nBSH = self.writes.values[..., width:].unbind(1)
        shares = [
            quiet_share(hidden_BSH[..., : int(gene["hidden"])])
            for gene, hidden_BSH in zip(self._genes, hidden_nBSH, strict=True)
        ]
        return torch.stack(shares).double() if shares else self.h_BSD.new_zeros(0, dtype=torch.float64)

    def intensity(self) -> Tensor:
        """Return the counted FLOPs per byte of each shard, log2, float64 [n]."""
        dim = self.h_BSD.shape[-1]
        costs = [cost(self.organism.task, dim, gene) for gene in self._genes]
        values = [math.log2(flops / moved) for flops, moved in costs]
        return torch.tensor(values, dtype=torch.float64, device=self.h_BSD.device)

    @property
    def _genes(self) -> list[Mapping[str, float]]:
        of_layer = self.organism.pool.genes(self.layer)
        return [of_layer[slot] for slot in self.slots]


class TransformerOrganism(ResidualOrganism):
    """``x <- x + sum_c attention_c(rms_norm(x)) + feed_forward_c(rms_norm(x))`` per layer; every token sees all it may.

    Parameters
    ----------
    task, interface, pool
        As every organism has them.
    """

    kernel: Kernel = AUTO

    def __init__(self, task: Task, interface: Interface, pool: Pool) -> None:
        super().__init__(task, interface, pool)
        self.positions = torch.tensor(task.positions, dtype=torch.float32, device=pool.counts.device)

    def mixed(self, layer: int, h_BSD: Tensor, gates: Tensor | None = None) -> Tensor:
        """Return the sum of what the shards of a layer write, [B, S, D], as one matrix product.

        Parameters
        ----------
        layer
            Number of the layer, from 0.
        h_BSD
            The normalised stream that the shards read.
        gates
            Gate of every slot of the organism, [N], in [0, 1]; None: all are 1.
        """
        if not self.pool.living(layer):
            return torch.zeros_like(h_BSD)
        writes = self.written_by_all(layer, h_BSD)
        if gates is not None:
            gate_C11 = gates.view(self.pool.depth, -1)[layer, :, None, None]
            writes = Writes(writes.values, writes.write * gate_C11, kernel=self.kernel)
        return writes.total()

    def observed(self, layer: int, h_BSD: Tensor) -> Observed:
        """Observe what every shard of a layer writes."""
        return Observed(self.written_by_all(layer, h_BSD))

    def guests(self, layer: int, h_BSD: Tensor, slots: Sequence[int], names: Sequence[str] = ()) -> Shards:
        """Return what some shards of a layer write when they read a host's stream.

        Parameters
        ----------
        layer
            Number of the layer, from 0.
        h_BSD
            The normalised stream that the host's shards read.
        slots
            Slots of the layer, counted from its first.
        names
            Not used: all measures follow from what is known of any shard.
        """
        every, places_n = self.written_by_all(layer, h_BSD), self.pool.places(layer, slots)
        writes = Writes(every.values[:, places_n], every.write[places_n], kernel=self.kernel)
        return Shards(self, layer, slots, h_BSD, writes)

    def residents(self, layer: int, h_BSD: Tensor) -> Shards:
        """Return the living shards of a layer, to which guests may be likened; what a guest writes depends on none."""
        return self.guests(layer, h_BSD, self.pool.living(layer))

    def grafted(self, residents: Shards, guests: Shards, x_BSD: Tensor) -> Writes:
        """Return what each guest writes.

        Parameters
        ----------
        residents
            Not used.
        guests
            What the n shards to graft write.
        x_BSD
            Not used.
        """
        return guests.writes

    def written(self, residents: Shards, guests: Shards) -> Writes:
        """Return what each guest writes."""
        return guests.writes

    def described(self, residents: Shards, guests: Shards, names: Sequence[str]) -> Mapping[str, Tensor]:
        """Return where the head of each guest attends, and how many of its hidden units are quiet, float64 [n] by name.

        Span, locality, entropy, sharpness and coherence are those of the attention weights, as pseudopods have them
        (`organisms.pseudopods.species.organism`). The sparsity is the share of its hidden units' numbers that lie under
        a tenth of their root mean square, the intensity counted FLOPs per byte, log2.

        Parameters
        ----------
        residents
            The host's own shards.
        guests
            The n shards to graft.
        names
            The measures that are wanted.
        """
        found = dict(guests.attention()) if any(name in _ATTENTION for name in names) else {}
        if "activation_sparsity" in names:
            found["activation_sparsity"] = guests.sparsity()
        if "compute_intensity" in names:
            found["compute_intensity"] = guests.intensity()
        if "neighbour_coherence" in names:
            cosines_nm = guests.patterns @ residents.patterns.T
            found["neighbour_coherence"] = cosines_nm.sum(1) / max(1, cosines_nm.shape[1])
        return {name: found[name] for name in names if name in found}

    def written_by_all(self, layer: int, h_BSD: Tensor) -> Writes:
        """Return what every slot of a layer writes; an empty one nothing."""
        stacks = {name: self.pool.layers(name)[layer] for name in ("ov.V", "in", "out")}
        attended_BCSW = self.kernel.attention(*self.circuits(layer, h_BSD), self.visible(layer))
        hidden_BCSH = F.gelu(projected(h_BSD, stacks["in"], self.kernel))
        values = torch.cat([attended_BCSW, hidden_BCSH], -1)
        return Writes(values, torch.cat([stacks["ov.V"], stacks["out"]], 1), kernel=self.kernel)

    def circuits(self, layer: int, h_BSD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values of a layer, [B, C, S, W]."""
        reads = [self.pool.layers(name)[layer] for name in ("qk.U", "qk.V", "ov.U")]
        reads[1] = reads[1].transpose(1, 2)
        q, k, v = (projected(h_BSD, read_CDW, self.kernel) for read_CDW in reads)
        return q, k, v

    def visible(self, layer: int) -> Visible:
        """Return what the heads of a layer see, and the factors of their scores, ``1 / sqrt(W)``."""
        scale_C = self.pool.kept(layer, "scale", lambda: self._scales(layer))
        scale_C = scale_C[: len(self.pool.layers("in")[layer])]  # a pool without dead slots has fewer arrays
        return Visible(causal=self.task.causal, scale=scale_C, positions=self.positions)

    def _scales(self, layer: int) -> Tensor:
        scales = [gene["width"] ** -0.5 if gene else 1.0 for gene in self.pool.genes(layer)]
        return torch.tensor(scales, device=self.positions.device)
