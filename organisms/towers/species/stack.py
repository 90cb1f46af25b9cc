"""Towers of one layer in stacked matrix products, with the messages that they hear of one another.

Shape suffixes: B examples, S tokens, T = B S, n towers, a of them with an attention stage, K stages, W width of a
tower's stream, H hidden width, D residual width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.attention import attention
from organisms.residual.activations import activated_slots
from organisms.residual.organism import projected
from organisms.residual.writes import Writes
from organisms.towers.geometry.manifolds import GEOMETRIES
from organisms.towers.species.component import UNITS, norm
from organisms.towers.species.options import Fusion

SPHERE = GEOMETRIES["spherical"]


def attending(genes: Sequence[Mapping[str, float]], device: torch.device) -> Tensor:
    """Return those of some towers that have an attention stage, as an index on a device, int64 [a]."""
    found = [tower for tower, gene in enumerate(genes) if gene.get("attention")]
    return torch.tensor(found, dtype=torch.int64, device=device)


@dataclass(frozen=True, eq=False)
class Stack:
    """n towers, an empty slot being one of zeros, and how they are to be computed."""

    arrays: Mapping[str, Tensor]  # by name, [n, ...]
    genes: Sequence[Mapping[str, float]]  # of each; of an empty slot none
    fusion: Fusion
    messages: int  # neighbours of which each hears
    causal: bool
    attending_a: Tensor | None = None  # those with an attention stage; None: they are looked up

    def __getitem__(self, towers: Sequence[int]) -> "Stack":
        """Return some of the towers."""
        arrays = {name: array[towers] for name, array in self.arrays.items()}
        return self._with(arrays, [self.genes[tower] for tower in towers])

    def only(self, tower: int) -> "Stack":
        """Return one of the towers, by views; nothing is sent to the device."""
        arrays = {name: array[tower : tower + 1] for name, array in self.arrays.items()}
        attends = int(bool(self.genes[tower].get("attention")))
        first = torch.zeros(attends, dtype=torch.int64, device=arrays["read"].device)
        return self._with(arrays, [self.genes[tower]], first)

    def joined(self, other: "Stack") -> "Stack":
        """Return these towers and others after them."""
        arrays = {name: torch.cat([array, other.arrays[name]]) for name, array in self.arrays.items()}
        places = None
        if self.attending_a is not None and other.attending_a is not None:
            places = torch.cat([self.attending_a, other.attending_a + len(self.genes)])
        return self._with(arrays, [*self.genes, *other.genes], places)

    def passed(self, h_BSD: Tensor, heard_nTD: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """Return the normed stream of every tower after its last stage, and its hidden units in every stage.

        Parameters
        ----------
        h_BSD
            The normalised stream of the network, which all towers read.
        heard_nTD
            What each hears besides; None: nothing.

        Returns
        -------
        Tensor, list of Tensor
            [B, n, S, W], and [n, T, H] for each feed-forward stage; zeros beyond what a tower's genes say.
        """
        batch = h_BSD.shape[:2]
        u_nTW = projected(h_BSD, self.arrays["read"]).transpose(0, 1).flatten(1, 2)
        if heard_nTD is not None:
            u_nTW = torch.baddbmm(u_nTW, heard_nTD * self.arrays["listen"].unsqueeze(-1), self.arrays["read"])
        attending_a = attending(self.genes, u_nTW.device) if self.attending_a is None else self.attending_a
        if len(attending_a):
            found_aTW = self._attended(attending_a, norm(u_nTW[attending_a]).unflatten(1, batch))
            u_nTW = u_nTW.index_add(0, attending_a, found_aTW)
        kinds = [int(gene.get("activation", 0)) for gene in self.genes]
        hidden = []
        stages = (self.arrays[name].unbind(1) for name in ("up", "down"))
        for up_nWH, down_nHW in zip(*stages, strict=True):
            hidden.append(activated_slots(torch.bmm(norm(u_nTW), up_nWH), kinds))
            u_nTW = torch.baddbmm(u_nTW, hidden[-1], down_nHW)
        return norm(u_nTW).unflatten(1, batch).transpose(0, 1), hidden

    def heard(self, said: Writes, gates_n: Tensor | None = None) -> Tensor:
        """Return what each tower hears of its neighbours, [n, T, D].

        It is a mixture of what its `messages` nearest neighbours say by themselves: with the cosine of two addresses on
        the sphere, ``sum_j p_j opinion_j`` and ``p = softmax_j(cosine_j + log gate_j)`` over those where that sum is
        largest. So one whose gate is closed sends nothing, and one whose gate opens is nobody's neighbour at once.

        Parameters
        ----------
        said
            Opinions that no message has reached.
        gates_n
            Gates of the towers, in (0, 1]; None: all are 1.
        """
        address_nA = SPHERE.point(self.arrays["address"])
        odds_nn = SPHERE.similarity(address_nA.unsqueeze(1), address_nA)
        if gates_n is not None:
            odds_nn = odds_nn + gates_n.log()
        n = len(odds_nn)
        odds_nn = odds_nn.masked_fill(torch.eye(n, dtype=torch.bool, device=odds_nn.device), -torch.inf)
        nearest_nk = odds_nn.sort(dim=1, descending=True, stable=True).indices[:, : min(self.messages, n - 1)]
        shares_nk = torch.softmax(odds_nn.gather(1, nearest_nk), 1)
        opinions_nTD = torch.stack([each.flatten(0, 1) for each in said.dense()])
        mixture_nn = torch.zeros_like(odds_nn).scatter(1, nearest_nk, shares_nk)
        return (mixture_nn @ opinions_nTD.flatten(1)).view_as(opinions_nTD)

    def said(self, streams_BnSW: Tensor) -> Writes:
        """Return what towers say whose streams end so."""
        return Writes(streams_BnSW, self.arrays["write"])

    def scores(self, streams_BnSW: Tensor) -> Tensor:
        """Return what each tower gives its opinion, [B, S, n]; zeros where no fusion asks for it."""
        if self.fusion == "sum":
            return streams_BnSW.new_zeros(streams_BnSW.shape[:3]).transpose(1, 2)
        return (streams_BnSW @ self.arrays["score"].unsqueeze(-1)).squeeze(-1).transpose(1, 2)

    def _with(
        self,
        arrays: Mapping[str, Tensor],
        genes: Sequence[Mapping[str, float]],
        attending_a: Tensor | None = None,
    ) -> "Stack":
        return Stack(arrays, genes, self.fusion, self.messages, self.causal, attending_a)

    def _attended(self, towers: Tensor, u_aBSW: Tensor) -> Tensor:
        """Return what the tokens of each of some towers find in one another, [a, T, W]."""
        q, k, v, o = (self.arrays[name][towers].squeeze(1) for name in "qkvo")
        u_aTW = u_aBSW.flatten(1, 2)
        q_BaSW, k_BaSW, v_BaSW = (
            torch.bmm(u_aTW, matrix).view_as(u_aBSW).transpose(0, 1) for matrix in (q, k, v)
        )
        found_BaSW = attention(q_BaSW, k_BaSW, v_BaSW, scale=UNITS**-0.5, causal=self.causal).output
        return torch.bmm(found_BaSW.transpose(0, 1).flatten(1, 2), o)
