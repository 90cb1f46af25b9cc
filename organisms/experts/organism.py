"""An organism of experts: each token goes to the k living experts of its largest logits.

Shape suffixes: B examples, S tokens, T = B S, C slots of a layer, k choices of a token, M = T k rows, D residual
width, H hidden width.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.grouped_gemm import grouped_gemm
from organisms.experts.choice import best
from organisms.experts.component import BENDS
from organisms.experts.cost import cost
from organisms.experts.dispatch import sorted_rows
from organisms.experts.losses import load_balance
from organisms.experts.placement import collected, spread
from organisms.nn import Interface, example_losses, readout, rms_norm, stem
from organisms.pool import Pool
from organisms.residual import Observed, ResidualOrganism, quiet_share
from organisms.task import Task
from organisms.writes import Writes


@dataclass(frozen=True, slots=True, eq=False)
class Routed:
    """Which slots of a layer serve each token."""

    slots_Tk: Tensor  # int64, best first
    weights_Tk: Tensor  # see `mixture`
    balance: Tensor  # scalar: load-balancing loss over the living slots, 1 where all have as much to do


class ExpertOrganism(ResidualOrganism):
    """``x <- x + sum over the k best experts of weight gate down^T f(up^T rms_norm(x))`` per layer.

    The router of a layer is the columns of its living slots (Shazeer et al. 2017). In training, `balance` times its
    load-balancing loss is added.
    """

    def __init__(self, task: Task, interface: Interface, pool: Pool, k: int, balance: float) -> None:
        super().__init__(task, interface, pool)
        self.k = k
        self.balance = balance

    def training_losses(self, inputs: Tensor, targets: Tensor, gates: Tensor | None = None) -> Tensor:
        """Losses of the task [B], each with the mean load-balancing loss of the layers."""
        x = stem(self.task, self.interface, inputs)
        balance = x.new_zeros(())
        for layer in range(self.pool.depth):
            x = self.entering(layer, x)
            h = rms_norm(x)
            if self.pool.living(layer):
                routed = self.routed(layer, h)
                x = x + self.answered(layer, h, routed, gates)
                balance = balance + routed.balance
        losses = example_losses(self.task, readout(self.task, self.interface, x), targets)
        return losses + self.balance / self.pool.depth * balance

    def mixed(self, layer: int, h_BSD: Tensor, gates: Tensor | None = None) -> Tensor:
        """Sum of what the chosen experts answer, [B, S, D]."""
        if not self.pool.living(layer):
            return torch.zeros_like(h_BSD)
        return self.answered(layer, h_BSD, self.routed(layer, h_BSD), gates)

    def logits(self, layer: int, h_BSD: Tensor) -> Tensor:
        """How much each token wants each slot, [B, S, C]; of an empty slot 0."""
        return h_BSD @ self.pool.layers("route")[layer].T

    def routed(self, layer: int, h_BSD: Tensor) -> Routed:
        """Choose slots for every token; at least one must live."""
        living = self.pool.living(layer)
        logits_Tn = self.logits(layer, h_BSD).flatten(0, 1)[:, living]
        chosen_Tk = best(logits_Tn, min(self.k, len(living))).experts
        demand_n = torch.bincount(chosen_Tk.flatten(), minlength=len(living))
        every = torch.ones_like(chosen_Tk[:, 0], dtype=torch.bool)
        return Routed(
            slots_Tk=torch.tensor(living, device=h_BSD.device)[chosen_Tk],
            weights_Tk=mixture(logits_Tn, chosen_Tk),
            balance=load_balance(logits_Tn, demand_n, every),
        )

    def answered(self, layer: int, h_BSD: Tensor, routed: Routed, gates: Tensor | None = None) -> Tensor:
        """Let each expert answer the tokens that chose it, sorted by expert, and add up each token's answers."""
        weights_Tk = routed.weights_Tk
        if gates is not None:
            weights_Tk = weights_Tk * gates.view(self.pool.depth, -1)[layer][routed.slots_Tk]
        slots_Tk = routed.slots_Tk
        rows = sorted_rows(slots_Tk, torch.ones_like(slots_Tk, dtype=torch.bool), self.pool.capacity)
        slot_M = slots_Tk.flatten().index_select(0, rows.placement.rank_M)
        up_CDH, down_CHD = self.matrices(layer)
        hidden_MH = grouped_gemm(spread(h_BSD.flatten(0, 1), rows.placement), up_CDH, rows.offsets_E)
        bent_MH = self._bent(layer, hidden_MH, slot_M)
        answers_MD = grouped_gemm(bent_MH, down_CHD, rows.offsets_E)
        return collected(answers_MD, rows.placement, weights_Tk.flatten()).view_as(h_BSD)

    def matrices(self, layer: int) -> tuple[Tensor, Tensor]:
        """Give the products of the factors: up [C, D, H] and down [C, H, D]."""
        up, down = (
            torch.bmm(self.pool.layers(f"{name}.U")[layer], self.pool.layers(f"{name}.V")[layer])
            for name in ("up", "down")
        )
        return up, down

    def hidden(self, layer: int, h_BSD: Tensor) -> Tensor:
        """What every slot makes of every token, whether it is chosen or not, [B, C, S, H]."""
        up_CDH, _ = self.matrices(layer)
        C, D, H = up_CDH.shape
        joined = h_BSD @ up_CDH.transpose(0, 1).reshape(D, C * H)
        hidden_BSCH = joined.unflatten(-1, (C, H))
        slots_C = torch.arange(C, device=h_BSD.device)
        return self._bent(layer, hidden_BSCH, slots_C).transpose(1, 2)

    def shares(self, layer: int, h_BSD: Tensor) -> tuple[Tensor, Tensor]:
        """Weight of every slot for every token, 0 where it is not chosen, and where it is chosen, both [B, S, C].

        They differ, if seldom: the weight of a chosen slot is rounded to 0 beside a logit that is 104 larger.
        """
        shares_TC = h_BSD.new_zeros(h_BSD.shape[0] * h_BSD.shape[1], self.pool.capacity)
        chosen_TC = torch.zeros_like(shares_TC, dtype=torch.bool)
        if self.pool.living(layer):
            routed = self.routed(layer, h_BSD)
            shares_TC = shares_TC.scatter(1, routed.slots_Tk, routed.weights_Tk)
            chosen_TC = chosen_TC.scatter(1, routed.slots_Tk, True)
        return shares_TC.unflatten(0, h_BSD.shape[:2]), chosen_TC.unflatten(0, h_BSD.shape[:2])

    def observed(self, layer: int, h_BSD: Tensor) -> Observed:
        """What every expert writes, and for which tokens.

        A token's mass m is the norm of what the expert adds to it, as a share of the example's. The span is the mean
        distance of two different tokens, ``sum_s sum_t m_s m_t d(s, t) / (1 - sum_s m_s^2)``, the locality the
        entropy of m over its largest value; both are means over the examples in which the expert answers, 0 where it
        answers none. The sparsity is that of its hidden numbers for the tokens that it answers, and the intensity
        that of all these tokens together, for which its matrices are read once.

        Differs from the mean over all pairs of tokens, and from counts by example: those follow from how many
        tokens an expert answers almost alone, and four measures would be one.
        """
        (shares_BSC, chosen_BSC), hidden_BCSH = self.shares(layer, h_BSD), self.hidden(layer, h_BSD)
        writes = Writes(hidden_BCSH * shares_BSC.transpose(1, 2).unsqueeze(-1), self.matrices(layer)[1])
        with torch.no_grad():
            mass_BCS = writes.norms()
            whole_BC = mass_BCS.sum(-1)
            mass_BCS = mass_BCS / whole_BC.clamp_min(1e-30).unsqueeze(-1)
            used_C = (whole_BC > 0).sum(0).clamp_min(1)
            distances = torch.tensor(self.task.distances, dtype=h_BSD.dtype, device=h_BSD.device)
            pairs_BC = (1 - mass_BCS.square().sum(-1)).clamp_min(1e-6)
            entropy_BC = -torch.xlogy(mass_BCS, mass_BCS).sum(-1)
            sparsity = [
                quiet_share(hidden_BSH[chosen_BS][:, : int(gene.get("hidden", 0))])
                for hidden_BSH, chosen_BS, gene in zip(
                    hidden_BCSH.unbind(1), chosen_BSC.unbind(2), self.pool.genes(layer), strict=True
                )
            ]
            answered_BC = chosen_BSC.sum(1)
        return Observed(
            writes=writes,
            span=(((mass_BCS @ distances) * mass_BCS).sum(-1) / pairs_BC).sum(0) / used_C,
            sparsity=torch.stack(sparsity),
            locality=entropy_BC.sum(0) / used_C / max(math.log(self.task.length), 1e-12),
            intensity=self._intensities(layer, answered_BC.sum(0), len(h_BSD)),
            answered=answered_BC,
        )

    def _bent(self, layer: int, hidden: Tensor, slots: Tensor) -> Tensor:
        """Apply to each row [..., H] the activation of its slot."""
        kinds_C = torch.tensor([int(gene.get("activation", 0)) for gene in self.pool.genes(layer)])
        kinds = kinds_C.to(slots.device)[slots].unsqueeze(-1)
        present = kinds_C.unique().tolist()
        bent = BENDS[present[0]](hidden)
        for kind in present[1:]:
            bent = torch.where(kinds == kind, BENDS[kind](hidden), bent)
        return bent

    def _intensities(self, layer: int, tokens_C: Tensor, examples: int) -> Tensor:
        dim = self.interface["embed"].shape[1]
        costs = [
            cost(self.task, dim, gene, tokens, examples) if gene else (1.0, 1.0)
            for gene, tokens in zip(self.pool.genes(layer), tokens_C.tolist(), strict=True)
        ]
        intensities = [math.log2(flops / moved) for flops, moved in costs]
        return torch.tensor(intensities, dtype=torch.float64, device=tokens_C.device)


def mixture(logits_Tn: Tensor, chosen_Tk: Tensor) -> Tensor:
    """Weights of the chosen experts, [T, k]: the softmax of their logits, as in Mixtral (Jiang et al. 2024).

    With k = 1 that would always be 1 and leave the router without a gradient from the task; so it is the one's share
    in the softmax over all n, as in Switch (Fedus et al. 2022).
    """
    if chosen_Tk.shape[1] == 1:
        return torch.softmax(logits_Tn, -1).gather(1, chosen_Tk)
    return torch.softmax(logits_Tn.gather(1, chosen_Tk), -1)
