"""An organism of experts: each token goes to the k living experts of its largest logits.

Shape suffixes: B examples, S tokens, T = B S, C slots of a layer, n of them with experts, k choices of a token,
M = T k rows, D residual width, H hidden width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.exporting import exporting
from kernels.grouped_gemm import grouped_gemm
from organisms.experts.dispatch.dispatch import sorted_rows
from organisms.experts.dispatch.placement import collected, spread
from organisms.experts.routing.choice import best
from organisms.experts.routing.losses import load_balance
from organisms.experts.species.observed import describe
from organisms.layers.norms import rms_norm
from organisms.nn import Interface, example_losses, readout, stem
from organisms.pool import Pool
from organisms.residual.activations import activated
from organisms.residual.candidates import Candidates, Guests
from organisms.residual.routed import RoutedOrganism
from organisms.residual.shares import mixture
from organisms.residual.writes import Writes
from organisms.task import Task


@dataclass(frozen=True, slots=True, eq=False)
class Routed:
    """Which slots of a layer each token is routed to."""

    logits_Tn: Tensor  # of the slots that tokens can go to
    chosen_Tk: Tensor  # int64, places among these, best first
    slots_Tk: Tensor  # int64, the slots there
    weights_Tk: Tensor  # see `mixture`

    def balance(self) -> Tensor:
        """Return the load-balancing loss over these experts, a scalar, 1 where all are equally loaded."""
        each_n = torch.arange(self.logits_Tn.shape[1], device=self.logits_Tn.device)
        # bincount would wait for the largest
        demand_n = (self.chosen_Tk.unsqueeze(-1) == each_n).sum((0, 1))
        every_T = torch.ones_like(self.chosen_Tk[:, 0], dtype=torch.bool)
        return load_balance(self.logits_Tn, demand_n, every_T)


class ExpertOrganism(RoutedOrganism):
    """``x <- x + sum over the k best experts of weight gate down^T f(up^T rms_norm(x))`` per layer.

    In training, `balance` times the load-balancing loss of its router is added.
    """

    def __init__(self, task: Task, interface: Interface, pool: Pool, k: int, balance: float) -> None:
        super().__init__(task, interface, pool, k)
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
                balance = balance + routed.balance()
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
        places_n = self.pool.places(layer, slots)
        logits_Tn = self.gated(layer, self.logits(layer, h_BSD).flatten(0, 1)[:, places_n], slots, gates)
        chosen_Tk = best(logits_Tn, min(self.k, len(slots))).experts
        return Routed(logits_Tn, chosen_Tk, places_n[chosen_Tk], mixture(logits_Tn, chosen_Tk))

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
        if exporting():
            return self._of_all(layer, h_BSD, routed)
        slots_Tk = routed.slots_Tk
        up_CDH, down_CHD = self.matrices(layer)
        rows = sorted_rows(slots_Tk, None, len(up_CDH))
        slot_M = slots_Tk.flatten().index_select(0, rows.placement.rank_M)
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
        places_n = self.pool.places(layer, slots)
        said = Writes(self.hidden(layer, h_BSD)[:, places_n], self.matrices(layer)[1][places_n])
        genes = self.pool.genes(layer)
        logits_Tn = self.logits(layer, h_BSD).flatten(0, 1)[:, places_n]
        return Candidates(logits_Tn, said, [genes[slot] for slot in slots])

    def described(
        self, residents: Candidates, guests: Guests[Candidates], names: Sequence[str]
    ) -> Mapping[str, Tensor]:
        """Measure the guests in a host (`organisms.experts.species.observed.describe`).

        Parameters
        ----------
        residents
            Logits and outputs of the host's own experts.
        guests
            Those of the n experts to graft, joined to them.
        names
            The measures that are wanted.
        """
        dim = self.interface["embed"].shape[1]
        return describe(self.task, dim, residents, guests, names)

    def _of_all(self, layer: int, h_BSD: Tensor, routed: Routed) -> Tensor:
        """Return the same from the outputs of all experts for all tokens."""
        hidden_BCSH = self.hidden(layer, h_BSD)
        empty_TC = h_BSD.new_zeros(routed.slots_Tk.shape[0], hidden_BCSH.shape[1])
        weights_TC = empty_TC.scatter(1, routed.slots_Tk, routed.weights_Tk)
        weights_BCS1 = weights_TC.view(*h_BSD.shape[:2], -1).transpose(1, 2).unsqueeze(-1)
        return Writes(weights_BCS1 * hidden_BCSH, self.matrices(layer)[1]).total()

    def _activated(self, layer: int, hidden: Tensor, slots: Tensor) -> Tensor:
        """Apply to each row [..., H] the activation of its slot."""
        present, kinds_C = self.pool.kept(layer, "activations", lambda: self._activations(layer))
        return activated(hidden, present, kinds_C[slots].unsqueeze(-1))

    def _activations(self, layer: int) -> tuple[list[int], Tensor]:
        """Return the activations that there are in a layer, and that of every slot; of an empty one any."""
        kinds = [int(gene.get("activation", 0)) for gene in self.pool.genes(layer)]
        return sorted(set(kinds)), torch.tensor(kinds, device=self.pool.counts.device)
