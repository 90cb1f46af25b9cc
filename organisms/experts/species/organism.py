"""An organism of experts: each token goes to the k living experts of its largest logits.

A gate multiplies its expert's share of the softmax before it is normalised: its logarithm is added to the logits. At 0
a layer is as if the expert were not there; so gating off does what a death does, and a newborn whose gate rises from 0
takes no token at once.

Shape suffixes: B examples, S tokens, T = B S, C slots of a layer, n of them with experts, k choices of a token,
M = T k rows, D residual width, H hidden width.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.grouped_gemm import grouped_gemm
from organisms.experts.dispatch.dispatch import sorted_rows
from organisms.experts.dispatch.placement import collected, spread
from organisms.experts.routing.choice import best
from organisms.experts.routing.losses import load_balance
from organisms.experts.species.observed import Candidates, describe, observe, written
from organisms.experts.species.shares import every_output, mixture, redirected, shares
from organisms.layers.norms import rms_norm
from organisms.nn import Interface, example_losses, readout, stem
from organisms.pool import Pool
from organisms.residual.activations import activated
from organisms.residual.organism import Observed, ResidualOrganism
from organisms.residual.writes import Writes
from organisms.task import Task


@dataclass(frozen=True, slots=True, eq=False)
class Routed:
    """Which slots of a layer each token is routed to."""

    slots_Tk: Tensor  # int64, best first
    weights_Tk: Tensor  # see `mixture`
    balance: Tensor  # scalar: load-balancing loss over these experts, 1 where all are equally loaded


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
        """Return the losses of the task [B], each with `balance` times the mean load-balancing loss of the layers.

        Parameters
        ----------
        inputs, targets
            B examples of the task.
        gates
            Gate of every slot, [N], in [0, 1]; None: all are 1.
        """
        x = stem(self.task, self.interface, inputs)
        balance = x.new_zeros(())
        for layer in range(self.pool.depth):
            x = self.entering(layer, x)
            h = rms_norm(x)
            if self.routable_slots(layer, gates):
                routed = self.routed(layer, h, gates)
                x = x + self.expert_outputs(layer, h, routed)
                balance = balance + routed.balance
        losses = example_losses(self.task, readout(self.task, self.interface, x), targets)
        return losses + self.balance / self.pool.depth * balance

    def mixed(self, layer: int, h_BSD: Tensor, gates: Tensor | None = None) -> Tensor:
        """Return the weighted sum of the chosen experts' outputs, [B, S, D].

        Parameters
        ----------
        layer
            Number of the layer, from 0.
        h_BSD
            The normalised stream that the experts read.
        gates
            Gate of every slot of the organism, [N], in [0, 1]; None: all are 1.
        """
        if not self.routable_slots(layer, gates):
            return torch.zeros_like(h_BSD)
        return self.expert_outputs(layer, h_BSD, self.routed(layer, h_BSD, gates))

    def routable_slots(self, layer: int, gates: Tensor | None = None) -> list[int]:
        """Return the slots of a layer that tokens can be routed to: those that live and whose gates are not 0."""
        living = self.pool.living(layer)
        if gates is None:
            return living
        own_C = gates.view(self.pool.depth, -1)[layer]
        return [slot for slot in living if own_C[slot] > 0]

    def logits(self, layer: int, h_BSD: Tensor) -> Tensor:
        """Return the router logits of every slot, [B, S, C]; 0 for an empty one."""
        return h_BSD @ self.pool.layers("route")[layer].T

    def routed(self, layer: int, h_BSD: Tensor, gates: Tensor | None = None) -> Routed:
        """Route every token to its k best slots; at least one slot must be routable.

        Parameters
        ----------
        layer
            Number of the layer, from 0.
        h_BSD
            The normalised stream that the router reads.
        gates
            Gate of every slot of the organism, [N], in [0, 1]; None: all are 1.
        """
        slots = self.routable_slots(layer, gates)
        logits_Tn = self.logits(layer, h_BSD).flatten(0, 1)[:, slots]
        if gates is not None:
            logits_Tn = logits_Tn + gates.view(self.pool.depth, -1)[layer, slots].log()
        chosen_Tk = best(logits_Tn, min(self.k, len(slots))).experts
        demand_n = torch.bincount(chosen_Tk.flatten(), minlength=len(slots))
        every = torch.ones_like(chosen_Tk[:, 0], dtype=torch.bool)
        return Routed(
            slots_Tk=torch.tensor(slots, device=h_BSD.device)[chosen_Tk],
            weights_Tk=mixture(logits_Tn, chosen_Tk),
            balance=load_balance(logits_Tn, demand_n, every),
        )

    def expert_outputs(self, layer: int, h_BSD: Tensor, routed: Routed) -> Tensor:
        """Apply each expert to the tokens routed to it, sorted by expert, and sum each token's weighted outputs.

        Parameters
        ----------
        layer
            Number of the layer, from 0.
        h_BSD
            The normalised stream that the experts read.
        routed
            The slots and weights of each token.

        Returns
        -------
        Tensor
            What the layer adds to the stream, [B, S, D].
        """
        slots_Tk = routed.slots_Tk
        rows = sorted_rows(slots_Tk, torch.ones_like(slots_Tk, dtype=torch.bool), self.pool.capacity)
        slot_M = slots_Tk.flatten().index_select(0, rows.placement.rank_M)
        up_CDH, down_CHD = self.matrices(layer)
        hidden_MH = grouped_gemm(spread(h_BSD.flatten(0, 1), rows.placement), up_CDH, rows.offsets_E)
        activated_MH = self._activated(layer, hidden_MH, slot_M)
        outputs_MD = grouped_gemm(activated_MH, down_CHD, rows.offsets_E)
        return collected(outputs_MD, rows.placement, routed.weights_Tk.flatten()).view_as(h_BSD)

    def matrices(self, layer: int) -> tuple[Tensor, Tensor]:
        """Return the products of the factors: up [C, D, H] and down [C, H, D]."""
        up, down = (
            torch.bmm(self.pool.layers(f"{name}.U")[layer], self.pool.layers(f"{name}.V")[layer])
            for name in ("up", "down")
        )
        return up, down

    def hidden(self, layer: int, h_BSD: Tensor) -> Tensor:
        """Return the hidden activations of every slot for every token, routed to it or not, [B, C, S, H]."""
        up_CDH, _ = self.matrices(layer)
        C, D, H = up_CDH.shape
        joined = h_BSD @ up_CDH.transpose(0, 1).reshape(D, C * H)
        hidden_BSCH = joined.unflatten(-1, (C, H))
        slots_C = torch.arange(C, device=h_BSD.device)
        return self._activated(layer, hidden_BSCH, slots_C).transpose(1, 2)

    def guests(
        self, layer: int, h_BSD: Tensor, slots: Sequence[int], names: Sequence[str] = ()
    ) -> Candidates:
        """Return the logits and outputs of some slots for every token, routed to them or not.

        Parameters
        ----------
        layer
            Number of the layer, from 0.
        h_BSD
            The normalised stream that the host's experts read.
        slots
            Slots of the layer, counted from its first.
        names
            Not used: nothing more is needed for any measure.
        """
        hidden_BnSH, (_, down_CHD) = self.hidden(layer, h_BSD)[:, slots], self.matrices(layer)
        genes = self.pool.genes(layer)
        return Candidates(
            self.logits(layer, h_BSD).flatten(0, 1)[:, slots],
            hidden_BnSH,
            down_CHD[slots],
            every_output(hidden_BnSH, down_CHD[slots]),
            [genes[slot] for slot in slots],
        )

    def residents(self, layer: int, h_BSD: Tensor) -> Candidates:
        """Return the logits and outputs of the living slots of a layer for every token."""
        return self.guests(layer, h_BSD, self.pool.living(layer))

    def grafted(self, residents: Candidates, guests: Candidates, x_BSD: Tensor) -> Iterator[Tensor]:
        """Yield what changes when the column of each guest alone joins the router of a layer, n times [B, S, D].

        Tokens are routed anew and the weights of each token's k best recomputed. A guest to which no token is routed
        changes exactly nothing.

        Parameters
        ----------
        residents
            Logits and outputs of the host's own experts.
        guests
            Those of the n experts to graft.
        x_BSD
            The host's stream after the layer, whose shape the changes have.
        """
        before_Tn = shares(residents.logits_Tn, self.k)
        for logits_T, outputs_TD in zip(guests.logits_Tn.unbind(1), guests.outputs_nTD, strict=True):
            after_Tn = shares(torch.cat([residents.logits_Tn, logits_T.unsqueeze(1)], 1), self.k)
            change_TD = redirected(before_Tn, after_Tn[:, :-1], residents.outputs_nTD)
            yield (change_TD + after_Tn[:, -1:] * outputs_TD).view_as(x_BSD)

    def observed(self, layer: int, h_BSD: Tensor) -> Observed:
        """Observe the experts of a layer (`organisms.experts.species.observed.observe`)."""
        logits_BSC, hidden_BCSH = self.logits(layer, h_BSD), self.hidden(layer, h_BSD)
        return observe(self.k, self.pool.living(layer), logits_BSC, hidden_BCSH, self.matrices(layer)[1])

    def written(self, residents: Candidates, guests: Candidates) -> Writes:
        """Return what each guest itself adds to the stream (`organisms.experts.species.observed.written`)."""
        return written(self.k, residents, guests)

    def described(
        self, residents: Candidates, guests: Candidates, names: Sequence[str]
    ) -> Mapping[str, Tensor]:
        """Measure the guests in a host (`organisms.experts.species.observed.describe`).

        Parameters
        ----------
        residents
            Logits and outputs of the host's own experts.
        guests
            Those of the n experts to graft.
        names
            The measures that are wanted.
        """
        dim = self.interface["embed"].shape[1]
        return describe(self.task, self.k, dim, residents, guests, names)

    def _activated(self, layer: int, hidden: Tensor, slots: Tensor) -> Tensor:
        """Apply to each row [..., H] the activation of its slot."""
        kinds = [int(gene.get("activation", 0)) for gene in self.pool.genes(layer)]
        return activated(hidden, kinds, slots.unsqueeze(-1))
