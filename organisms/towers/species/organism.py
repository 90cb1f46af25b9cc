"""An organism of towers: all towers of a layer in stacked matrix products, their opinions fused.

Shape suffixes: B examples, S tokens, T = B S, C slots of a layer, n of them with towers, D residual width, W width of a
tower's stream, H hidden width.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from kernels.attention import attention
from organisms.nn import Interface
from organisms.pool import Pool
from organisms.residual.activations import activated
from organisms.residual.organism import Observed, ResidualOrganism, projected, quiet_share
from organisms.residual.writes import Writes
from organisms.task import Task
from organisms.towers.species.component import UNITS, norm
from organisms.towers.species.fusion import weights
from organisms.towers.species.observed import Competing, Opinions, describe, grafted, weighted, written
from organisms.towers.species.options import Fusion


class TowerOrganism(ResidualOrganism):
    """``x <- x + sum_n weight_n opinion_n(rms_norm(x))`` per layer, the weights those of a fusion."""

    def __init__(self, task: Task, interface: Interface, pool: Pool, fusion: Fusion) -> None:
        super().__init__(task, interface, pool)
        self.fusion = fusion

    def mixed(self, layer: int, h_BSD: Tensor, gates: Tensor | None = None) -> Tensor:
        """Return the fused opinions of the towers of a layer, [B, S, D].

        Parameters
        ----------
        layer
            Number of the layer, from 0.
        h_BSD
            The normalised stream that the towers read.
        gates
            Gate of every slot of the organism, [N], in [0, 1]; None: all are 1.
        """
        living, gates_n = self.pool.living(layer), None
        if gates is not None:
            gates_C = gates.view(self.pool.depth, -1)[layer]
            living = [slot for slot in living if gates_C[slot] > 0]
            gates_n = gates_C[living]
        if not living:
            return torch.zeros_like(h_BSD)
        said, scores_BSn = self.opinions(layer, h_BSD, living)
        return weighted(said, weights(self.fusion, scores_BSn, gates_n)).total()

    def opinions(self, layer: int, h_BSD: Tensor, slots: Sequence[int]) -> tuple[Writes, Tensor]:
        """Return what n towers say about every token, and what each gives its own opinion, [B, S, n].

        Parameters
        ----------
        layer
            Number of the layer, from 0.
        h_BSD
            The normalised stream that the towers read.
        slots
            Slots of the layer, counted from its first.
        """
        return self._said(layer, self.passed(layer, h_BSD)[0], slots)

    def passed(self, layer: int, h_BSD: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the normed stream of every slot after its last stage, and its hidden units in every stage.

        Parameters
        ----------
        layer
            Number of the layer, from 0.
        h_BSD
            The normalised stream that the towers read.

        Returns
        -------
        Tensor, list of Tensor
            [B, C, S, W], and [C, T, H] for each feed-forward stage; zeros beyond what a tower's genes say.
        """
        examples, tokens = h_BSD.shape[:2]
        u_CTW = projected(h_BSD, self.pool.layers("read")[layer]).transpose(0, 1).flatten(1, 2)
        if "q" in self.pool.stacks:
            u_CTW = u_CTW + self._attended(layer, norm(u_CTW).unflatten(1, (examples, tokens)))
        kinds = [int(gene.get("activation", 0)) for gene in self.pool.genes(layer)]
        slots_C11 = torch.arange(self.pool.capacity, device=h_BSD.device).view(-1, 1, 1)
        up_CKWH, down_CKHW = self.pool.layers("up")[layer], self.pool.layers("down")[layer]
        hidden = []
        for up_CWH, down_CHW in zip(up_CKWH.unbind(1), down_CKHW.unbind(1), strict=True):
            hidden.append(activated(torch.bmm(norm(u_CTW), up_CWH), kinds, slots_C11))
            u_CTW = torch.baddbmm(u_CTW, hidden[-1], down_CHW)
        return norm(u_CTW).unflatten(1, (examples, tokens)).transpose(0, 1), hidden

    def guests(self, layer: int, h_BSD: Tensor, slots: Sequence[int], names: Sequence[str] = ()) -> Opinions:
        """Return what some towers say about every token of a host's stream.

        Parameters
        ----------
        layer
            Number of the layer, from 0.
        h_BSD
            The normalised stream that the host's towers read.
        slots
            Slots of the layer, counted from its first.
        names
            The measures that are wanted; see `described`.
        """
        streams_BCSW, hidden = self.passed(layer, h_BSD)
        genes = [self.pool.genes(layer)[slot] for slot in slots]
        quiet = []
        if "activation_sparsity" in names:
            quiet = [_quiet(hidden, slot, gene) for slot, gene in zip(slots, genes, strict=True)]
        return Opinions(self.fusion, *self._said(layer, streams_BCSW, slots), quiet, genes)

    def residents(self, layer: int, h_BSD: Tensor) -> Opinions:
        """Return what the living towers of a layer say about every token."""
        return self.guests(layer, h_BSD, self.pool.living(layer))

    def grafted(self, residents: Opinions, guests: Opinions, x_BSD: Tensor) -> Writes | Iterator[Tensor]:
        """Return what changes when each guest alone joins the towers of a layer, n times [B, S, D].

        Parameters
        ----------
        residents
            What the host's own towers say.
        guests
            What the n towers to graft say.
        x_BSD
            Not used.
        """
        return grafted(residents, guests)

    def written(self, residents: Opinions, guests: Opinions) -> Writes:
        """Return what each guest itself adds to the stream when it alone joins the residents."""
        return written(residents, guests)

    def described(self, residents: Opinions, guests: Opinions, names: Sequence[str]) -> Mapping[str, Tensor]:
        """Measure the guests in a host (`organisms.towers.species.observed.describe`).

        Parameters
        ----------
        residents
            What the host's own towers say.
        guests
            What the n towers to graft say.
        names
            The measures that are wanted.
        """
        return describe(self.task, self.interface["embed"].shape[1], residents, guests, names)

    def observed(self, layer: int, h_BSD: Tensor) -> Observed:
        """Observe what the towers of a layer add to the stream, and what they would without one of them."""
        living = self.pool.living(layer)
        opinions = self.guests(layer, h_BSD, living)
        heard, write_CWD = opinions.heard, self.pool.layers("write")[layer]
        values_BCSW = heard.values.new_zeros(len(h_BSD), self.pool.capacity, *heard.values.shape[2:])
        values_BCSW[:, living] = heard.values
        writes = Writes(values_BCSW, write_CWD)
        if self.fusion != "adaptive":
            return Observed(writes)
        return Competing(writes, living=living, opinions=opinions)

    def _said(self, layer: int, streams_BCSW: Tensor, slots: Sequence[int]) -> tuple[Writes, Tensor]:
        own_BnSW = streams_BCSW[:, slots]
        said = Writes(own_BnSW, self.pool.layers("write")[layer][slots])
        if self.fusion == "sum":
            return said, own_BnSW.new_zeros(own_BnSW.shape[:3]).transpose(1, 2)
        scores_BnS = (own_BnSW @ self.pool.layers("score")[layer][slots].unsqueeze(-1)).squeeze(-1)
        return said, scores_BnS.transpose(1, 2)

    def _attended(self, layer: int, n_CBSW: Tensor) -> Tensor:
        """Return what the tokens of each tower find in one another, [C, T, W]."""
        q, k, v, o = (self.pool.layers(name)[layer] for name in "qkvo")
        n_CTW = n_CBSW.flatten(1, 2)
        q_BCSW, k_BCSW, v_BCSW = (
            torch.bmm(n_CTW, matrix.squeeze(1)).view_as(n_CBSW).transpose(0, 1) for matrix in (q, k, v)
        )
        found_BCSW = attention(q_BCSW, k_BCSW, v_BCSW, scale=UNITS**-0.5, causal=self.task.causal).output
        return torch.bmm(found_BCSW.transpose(0, 1).flatten(1, 2), o.squeeze(1))


def _quiet(hidden: Sequence[Tensor], slot: int, gene: Mapping[str, float]) -> float:
    """Return the share of quiet hidden units of a tower, over all its stages."""
    units = int(gene["width"] * gene["expansion"])
    return float(quiet_share(torch.stack([each[slot, :, :units] for each in hidden[: int(gene["stages"])]])))
