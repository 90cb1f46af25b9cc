"""An organism of pseudopods: all heads of a layer in one batched attention, added to the residual stream.

A stream is read chunk by chunk. Its heads see the chunk alone, or, with a memory, tubes of earlier ones as well; as an
example is a whole stream, a forward pass goes over all its chunks, and no state is left between steps.

Shape suffixes: B examples, L layers, C slots of a layer, N = L C, S tokens, T of a chunk (all, if there is no stream),
K chunks, D residual width, R and W inner sizes of the QK and OV circuits.
"""

import math
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from kernels.attention import AttentionStatistics
from kernels.kernel import AUTO, Kernel, Visible
from organisms.nn import Interface
from organisms.pool import Pool
from organisms.pseudopods.species.cost import cost
from organisms.pseudopods.species.recalling import Recalling, recalling
from organisms.pseudopods.species.remembered import before_each, joined
from organisms.pseudopods.tubes import TubeRules, Tubes
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
        """The mean attention weights of each head over the examples, as unit vectors, [n, T (M + T)]."""
        return F.normalize(self.organism.patterns(self.layer, self.h_BSD)[self.slots].flatten(1), dim=1)


class PseudopodOrganism(ResidualOrganism):
    """Attention heads that see their windows, each with its own temperature, and what their layer remembers.

    Parameters
    ----------
    task, interface, pool
        As every organism has them.
    memory
        How the tubes of each layer live, in a stream; None: there are none.
    kernel
        What computes what heads read, attend to and write, and how many directions that has.
    compact
        Whether a layer computes its living heads alone, instead of all slots.
    """

    def __init__(
        self,
        task: Task,
        interface: Interface,
        pool: Pool,
        memory: TubeRules | None = None,
        kernel: Kernel = AUTO,
        compact: bool = False,
    ) -> None:
        super().__init__(task, interface, pool)
        self.kernel = kernel
        self.compact = compact
        in_sight = task.positions[: task.sight]
        self.positions = torch.tensor(in_sight, dtype=torch.float32, device=pool.counts.device)
        self.memory = memory

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
        output, _ = self.attended(layer, h_BSD, places=places)
        return Writes(output, write_CWD, kernel=self.kernel).total()

    def frozen(self) -> Self:
        """Return an organism of the same pool that computes the living heads alone: those of a host are few."""
        compact = copy(self)
        compact.compact = True
        return compact

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
        places_n, n = self.pool.places(layer, slots), len(slots)
        # No heads at all cannot attend: where none are asked for, all do, and nothing of it is kept.
        output, where = self.attended(layer, h_BSD, statistics, places_n if n else None)
        writes = Writes(output[:, :n], self.pool.layers("ov.V")[layer][places_n], kernel=self.kernel)
        seen = {} if where is None else {name: each[:n] for name, each in self._attention(where).items()}
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
        ``-sum_j p_j log p_j / log S`` the entropy, of ``max_j p_j`` the sharpness, both in [0, 1]. In a stream S is
        that of a chunk; with a memory of M tubes a tube lies one place before it, and S is M more. The coherence is the
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
        output, _ = self.attended(layer, h_BSD)
        return Observed(Writes(output, self.pool.layers("ov.V")[layer], kernel=self.kernel))

    def attended(
        self, layer: int, h_BSD: Tensor, statistics: bool = False, places: Tensor | None = None
    ) -> tuple[Tensor, AttentionStatistics | None]:
        """Return what every head of a layer attends to, [B, C, S, W], and where, if that is asked for.

        Parameters
        ----------
        layer
            Number of the layer, from 0.
        h_BSD
            The normalised stream that the heads read.
        statistics
            Whether to return where they attend.
        places
            The slots that are wanted; None: all.
        """
        chunks = self._chunks(h_BSD)
        if self.memory is None:
            circuits, visible = self.circuits(layer, chunks, places), self.visible(layer, places)
            if not statistics:
                return self._streams(self.kernel.attention(*circuits, visible)), None
            output, where = self.kernel.observed(*circuits, visible)
            return self._streams(output), where
        recalled = self.recalling(layer, chunks, self._tubes(layer, h_BSD), places)
        return self._streams(recalled.output), recalled.statistics() if statistics else None

    def patterns(self, layer: int, h_BSD: Tensor) -> Tensor:
        """Return the mean attention weights of every head of a layer over the examples and their chunks, [C, T, M + T].

        Of M tubes, the thickest come first.
        """
        chunks = self._chunks(h_BSD)
        if self.memory is None:
            return self.kernel.weighted(*self.circuits(layer, chunks), self.visible(layer))[1].mean(0)
        return self.recalling(layer, chunks, self._tubes(layer, h_BSD)).weights.mean(0)

    def recalling(self, layer: int, h_NTD: Tensor, tubes: Tubes, places: Tensor | None = None) -> Recalling:
        """Return what the heads of a layer attend to in chunks of up to T tokens.

        Parameters
        ----------
        layer
            Number of the layer, from 0.
        h_NTD
            The normalised stream that they read.
        tubes
            Those before each chunk.
        places
            The slots that are wanted; None: all.
        """
        q_NCTR = self._projected(h_NTD, _some(self.pool.layers("qk.U")[layer], places))
        seen = torch.cat([tubes.content, h_NTD], 1)
        k = self._projected(seen, _some(self.pool.layers("qk.V")[layer], places).transpose(1, 2))
        v = self._projected(seen, _some(self.pool.layers("ov.U")[layer], places))
        settings = (_some(each, places) for each in self._settings(layer))
        return recalling(self.kernel, q_NCTR, k, v, tubes.conductance, *settings)

    def _chunks(self, h_BSD: Tensor) -> Tensor:
        """Return the stream as its chunks, [B K, T, D]."""
        return h_BSD if self.task.chunk is None else h_BSD.unflatten(1, (-1, self.task.chunk)).flatten(0, 1)

    def _streams(self, found_NCTW: Tensor) -> Tensor:
        """Return what was found for each chunk as that of whole examples, [B, C, S, W]."""
        if self.task.chunk is None:
            return found_NCTW
        return found_NCTW.unflatten(0, (-1, self.task.chunks)).transpose(1, 2).flatten(2, 3)

    def _tubes(self, layer: int, h_BSD: Tensor) -> Tubes:
        """Return the tubes before each chunk of B streams that begin here, those of B K sequences."""
        assert self.memory is not None
        ahead = h_BSD[:, : -self.task.sight]  # nothing is read after the last chunk
        store, truncation = self.interface["store"][layer], self.task.truncation
        none = self.memory.none(h_BSD[:, 0])
        return joined(before_each(none, ahead, self.task.sight, store, self.memory, truncation))

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
        q_BCSR = self._projected(h_BSD, _some(self.pool.layers("qk.U")[layer], places))
        k_BCSR = self._projected(h_BSD, _some(self.pool.layers("qk.V")[layer], places).transpose(1, 2))
        v_BCSW = self._projected(h_BSD, _some(self.pool.layers("ov.U")[layer], places))
        return q_BCSR, k_BCSR, v_BCSW

    def visible(self, layer: int, places: Tensor | None = None) -> Visible:
        """Return what the heads of a layer, or some of them, see, and the factors of their scores."""
        scale_C, window_C = (_some(each, places) for each in self._settings(layer))
        return Visible(causal=self.task.causal, scale=scale_C, window=window_C, positions=self.positions)

    def _projected(self, h_BSD: Tensor, read_CDR: Tensor) -> Tensor:
        return projected(h_BSD, read_CDR, self.kernel)

    def _attention(self, statistics: AttentionStatistics) -> dict[str, Tensor]:
        furthest, seen = self.task.reach, self.task.sight
        if self.memory is not None:  # tubes, a place before the chunk
            furthest, seen = float(seen), seen + self.memory.capacity
        furthest, most = max(furthest, 1e-12), max(math.log(seen), 1e-12)
        return {
            "attention_span": statistics.span.double() / furthest,
            "access_locality": statistics.locality.double() / furthest,
            "attention_entropy": statistics.entropy.double() / most,
            "attention_sharpness": statistics.largest.double(),
        }

    def _intensities(self, layer: int) -> Tensor:
        dim = self.interface["embed"].shape[1]
        tubes = 0 if self.memory is None else self.memory.capacity
        costs = [cost(self.task, dim, gene, tubes) if gene else (1.0, 1.0) for gene in self.pool.genes(layer)]
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
