"""One pseudopod seen at work: what it writes for a stimulus, and how it stands to its neighbours."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from kernels.attention import attention_weights
from kernels.correlation import correlation
from kernels.effective_rank import effective_rank
from organisms.layers.norms import rms_norm
from organisms.nn import stem
from organisms.pseudopods.species.organism import PseudopodOrganism


@dataclass(frozen=True, slots=True, eq=False)
class Pseudopod:
    """A living slot of an organism on one batch of stimuli.

    ``written`` is what it adds to the residual stream, [B, S, D]; ``pattern`` its mean attention weights,
    [S, S]; ``others`` the patterns of the other living heads of its layer, [n - 1, S, S].
    """

    written: Tensor
    pattern: Tensor
    others: Tensor

    def correlation(self) -> Tensor:
        """Pearson correlation between the D features of what it writes, [D, D]."""
        return correlation(self.written.flatten(0, -2))

    def effective_rank(self) -> Tensor:
        """Participation ratio of what it writes: the number of directions that it uses, in [1, D]."""
        return effective_rank(self.written.flatten(0, -2))

    def coherence(self) -> Tensor:
        """Mean cosine of its attention pattern with those of the layer's other heads, [0, 1]; 0 if alone."""
        if not len(self.others):
            return torch.zeros((), dtype=self.pattern.dtype)
        return F.cosine_similarity(self.pattern.flatten()[None], self.others.flatten(1)).mean()


@torch.no_grad()
def observe(organism: PseudopodOrganism, slot: int, inputs: Tensor) -> Pseudopod:
    """Watch one living slot while the organism reads a batch of inputs.

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
    (written,) = organism.guests(layer, read, [slot - first]).dense()
    q_BCSR, k_BCSR, _ = organism.circuits(layer, read)
    pattern_CSS = attention_weights(q_BCSR, k_BCSR, **organism.sight(layer)).mean(0)
    others = [other for other in pool.living(layer) if other != slot - first]
    return Pseudopod(written, pattern_CSS[slot - first], pattern_CSS[others])
