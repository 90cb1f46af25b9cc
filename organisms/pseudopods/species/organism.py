"""An organism of pseudopods: all heads of a layer in one batched attention, added to the residual stream.

Shape suffixes: B examples, L layers, C slots of a layer, N = L C, S tokens, D residual width, R and W inner
sizes of the QK and OV circuits.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from kernels.attention import AttentionStatistics, attention, attention_weights
from organisms.nn import Interface
from organisms.pool import Pool
from organisms.pseudopods.species.cost import cost
from organisms.residual.organism import Observed, ResidualOrganism, projected, quiet_share
from organisms.residual.writes import Writes
from organisms.task import Task

ATTENTION = ("attention_span", "access_locality", "attention_entropy", "attention_sharpness")


@dataclass(frozen=True, eq=False)
class Heads:
    """What n heads write when they read a host's stream, and the measures that depend on no other heads."""

    organism: "PseudopodOrganism"
    layer: int
    slots: Sequence[int]
    h_BSD: Tensor
    writes: Writes
    seen: Mapping[str, Tensor]

    @cached_property
    def patterns(self) -> Tensor:
        """The mean attention weights of each head over the examples, as unit vectors, [n, S S]."""
        q_BCSR, k_BCSR, _ = self.organism.circuits(self.layer, self.h_BSD)
        weights_BCSS = attention_weights(q_BCSR, k_BCSR, **self.organism.attention_options(self.layer))
        return F.normalize(weights_BCSS.mean(0)[self.slots].flatten(1), dim=1)


class PseudopodOrganism(ResidualOrganism):
    """Attention heads that see their windows, each with its own temperature."""

    def __init__(self, task: Task, interface: Interface, pool: Pool, compact: bool = False) -> None:
        super().__init__(task, interface, pool)
        self.compact = compact
        self.positions = torch.tensor(task.positions, dtype=torch.float32, device=pool.counts.device)

    def mixed(self, layer: int, h_BSD: Tensor, gates: Tensor | None = None) -> Tensor:
        """Return the sum of what the heads of a layer write, [B, S, D], as one matrix product.

        It is over all slots, or if `compact` over the living.

        Parameters
        ----------
        layer
            Number of the layer, from 0.
        h_BSD
            The normalised stream that the heads read.
        gates
            Gate of every slot of the organism, [N], in [0, 1]; None: all are 1.
        """
        places = self._left_out_empty(layer)
        if places is not None and not len(places):
            return torch.zeros_like(h_BSD)
        write_CWD = _some(self.pool.layers("ov.V")[layer], places)
        if gates is not None:
            write_CWD = write_CWD * _some(gates.view(self.pool.depth, -1)[layer, :, None, None], places)
        options = self.attention_options(layer, places)
        found = attention(*self.circuits(layer, h_BSD, places), **options)
        return Writes(found.output, write_CWD).total()

    def guests(self, layer: int, h_BSD: Tensor, slots: Sequence[int], names: Sequence[str] = ()) -> Heads:
        """Return what some heads of a layer write when they read a host's stream.

        Parameters
        ----------
        layer
            Number of the layer, from 0.
        h_BSD
            The normalised stream that the host's heads read.
        slots
            Slots of the layer, counted from its first.
        names
            The measures that are wanted; see `described`.
        """
        statistics = any(name in ATTENTION for name in names)
        options = self.attention_options(layer)
        found = attention(*self.circuits(layer, h_BSD), **options, statistics=statistics)
        places_n = self.pool.places(layer, slots)
        writes = Writes(found.output[:, places_n], self.pool.layers("ov.V")[layer][places_n])
        seen = {}
        if found.statistics is not None:
            seen = self._attended(found.statistics, slots)
        if "activation_sparsity" in names:
            quiet = [quiet_share(y_BSD) for y_BSD in writes.dense()]
            seen["activation_sparsity"] = torch.stack(quiet).double() if quiet else _none(h_BSD)
        if "compute_intensity" in names:
            seen["compute_intensity"] = self._intensities(layer)[slots].to(h_BSD.device)
        return Heads(self, layer, slots, h_BSD, writes, seen)

    def residents(self, layer: int, h_BSD: Tensor) -> Heads:
        """Return the living heads of a layer, to which guests may be likened; what a guest writes depends on none."""
        slots = self.pool.living(layer)
        nothing = Writes(h_BSD.new_zeros(len(h_BSD), 0, 1, 1), h_BSD.new_zeros(0, 1, 1))
        return Heads(self, layer, slots, h_BSD, nothing, {})

    def grafted(self, residents: Heads, guests: Heads, x_BSD: Tensor) -> Writes:
        """Return what each guest writes.

        Parameters
        ----------
        residents
            Not used.
        guests
            What the n heads to graft write.
        x_BSD
            Not used.
        """
        return guests.writes

    def written(self, residents: Heads, guests: Heads) -> Writes:
        """Return what each guest writes."""
        return guests.writes

    def described(self, residents: Heads, guests: Heads, names: Sequence[str]) -> Mapping[str, Tensor]:
        """Return where each guest attends, and how like the host's own heads, float64 [n] by name.

        With p [S, S] the weights of a head, the mean over examples and queries of ``sum_j p_j d(i, j)`` is the span, of
        ``sqrt(sum_j p_j |x_j - sum p x|^2)`` the locality, both as shares of the largest distance; of
        ``-sum_j p_j log p_j / log S`` the entropy, of ``max_j p_j`` the sharpness, both in [0, 1]. The coherence is the
        mean, over the host's heads of the layer, of the cosine of the two mean patterns p, in [0, 1]; 0 without any.
        The sparsity is the share of what is written that lies under a tenth of its root mean square, the intensity
        counted FLOPs per byte, log2.

        Parameters
        ----------
        residents
            The host's own heads.
        guests
            What the n heads to graft write.
        names
            The measures that are wanted.
        """
        found = {name: guests.seen[name] for name in names if name in guests.seen}
        if "neighbour_coherence" in names:
            cosines_nm = guests.patterns.double() @ residents.patterns.double().T
            found["neighbour_coherence"] = cosines_nm.sum(1) / max(1, cosines_nm.shape[1])
        return found

    def observed(self, layer: int, h_BSD: Tensor) -> Observed:
        """Observe what every head of a layer writes."""
        found = attention(*self.circuits(layer, h_BSD), **self.attention_options(layer))
        return Observed(Writes(found.output, self.pool.layers("ov.V")[layer]))

    def circuits(
        self, layer: int, h_BSD: Tensor, places: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values of a layer, [B, C, S, *].

        Parameters
        ----------
        layer
            Number of the layer, from 0.
        h_BSD
            The normalised stream that the heads read.
        places
            The slots that are wanted; None: all.
        """
        q_BCSR = projected(h_BSD, _some(self.pool.layers("qk.U")[layer], places))
        k_BCSR = projected(h_BSD, _some(self.pool.layers("qk.V")[layer], places).transpose(1, 2))
        v_BCSW = projected(h_BSD, _some(self.pool.layers("ov.U")[layer], places))
        return q_BCSR, k_BCSR, v_BCSW

    def attention_options(self, layer: int, places: Tensor | None = None) -> dict[str, Any]:
        """Return scale, window and mask of heads of a layer: the options of `kernels.attention.attention`."""
        scale_C, window_C = self._settings(layer)
        return {
            "scale": _some(scale_C, places),
            "window": _some(window_C, places),
            "positions": self.positions,
            "causal": self.task.causal,
        }

    def _attended(self, statistics: AttentionStatistics, slots: Sequence[int]) -> dict[str, Tensor]:
        furthest, most = max(self.task.distances.max(), 1e-12), max(math.log(self.task.length), 1e-12)
        by_name = {
            "attention_span": statistics.span.double() / furthest,
            "access_locality": statistics.locality.double() / furthest,
            "attention_entropy": statistics.entropy.double() / most,
            "attention_sharpness": statistics.largest.double(),
        }
        return {name: by_name[name][slots] for name in ATTENTION}

    def _intensities(self, layer: int) -> Tensor:
        dim = self.interface["embed"].shape[1]
        costs = [cost(self.task, dim, gene) if gene else (1.0, 1.0) for gene in self.pool.genes(layer)]
        return torch.tensor(
            [math.log2(flops / bytes_moved) for flops, bytes_moved in costs], dtype=torch.float64
        )

    def _left_out_empty(self, layer: int) -> Tensor | None:
        """Return the slots that a compact layer computes, int64 [n]; None: all."""
        living = self.pool.living(layer)
        every = not self.compact or len(living) == self.pool.capacity
        return None if every else self.pool.places(layer, living)

    def _settings(self, layer: int) -> tuple[Tensor, Tensor]:
        return self.pool.kept(layer, "settings", lambda: self._settled(self.pool.genes(layer)))

    def _settled(self, genes: Sequence[Mapping[str, float]]) -> tuple[Tensor, Tensor]:
        scales = [gene["temperature"] / gene["rank"] ** 0.5 if gene else 1.0 for gene in genes]
        windows = [gene["window"] if gene else 1.0 for gene in genes]
        device = self.positions.device
        return torch.tensor(scales, device=device), torch.tensor(windows, device=device)


def _some(of_slots: Tensor, places: Tensor | None) -> Tensor:
    return of_slots if places is None else of_slots[places]


def _none(like: Tensor) -> Tensor:
    return like.new_zeros(0, dtype=torch.float64)
