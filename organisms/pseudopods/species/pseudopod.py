"""One pseudopod on a batch of inputs: what it writes, and how its attention pattern compares with the others'."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from kernels.kernel import Kernel
from organisms.layers.norms import rms_norm
from organisms.nn import stem
from organisms.pseudopods.species.organism import PseudopodOrganism


@dataclass(frozen=True, slots=True, eq=False)
class Pseudopod:
    """A living slot of an organism on one batch of inputs.

    ``written`` is what it adds to the residual stream, [B, S, D]; ``pattern`` its mean attention weights,
    [S, S] (in a stream, [T, M + T]); ``others`` the patterns of the other living heads of its layer, [n - 1, S, S].
    """

    written: Tensor
    pattern: Tensor
    others: Tensor
    kernel: Kernel  # of its organism

    def correlation(self) -> Tensor:
        """Return the Pearson correlation between the D features of what it writes, [D, D]."""
        return self.kernel.correlation(self.written.flatten(0, -2))

    def effective_rank(self) -> Tensor:
        """Return the participation ratio of what it writes: the number of directions that it uses, in [1, D]."""
        return self.kernel.effective_rank(self.written.flatten(0, -2))

    def coherence(self) -> Tensor:
        """Return the mean cosine of its pattern with those of the layer's other heads, in [0, 1]; 0 if it is alone."""
        if not len(self.others):
            return torch.zeros((), dtype=self.pattern.dtype)
        return F.cosine_similarity(self.pattern.flatten()[None], self.others.flatten(1)).mean()


@torch.no_grad()
def observe(organism: PseudopodOrganism, slot: int, inputs: Tensor) -> Pseudopod:
    """Run an organism on a batch of inputs and keep what one living slot does.

    Parameters
    ----------
    organism
        The organism that the head is part of.
    slot
        Number of the slot, from 0 over all layers.
    inputs
        B examples of its task.

    Raises
    ------
    ValueError
        If the slot is empty.
    """
    pool = organism.pool
    living = [other for other, _ in pool.alive()]
    if slot not in living:
        raise ValueError(f"slot {slot} is empty; living slots: {living}")
    layer, first = pool.layer(slot), pool.layer(slot) * pool.capacity
    x = stem(organism.task, organism.interface, inputs)
    for before in range(layer):
        x = x + organism.mixed(before, rms_norm(x))
    read = rms_norm(x)
    (written,) = organism.guests(layer, read, [slot - first]).writes.dense()
    pattern_CSS = organism.patterns(layer, read)
    others = [other for other in pool.living(layer) if other != slot - first]
    return Pseudopod(written, pattern_CSS[slot - first], pattern_CSS[others], organism.kernel)
