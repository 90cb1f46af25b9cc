"""What a layer of an organism remembers of a stream: tubes, which hold tokens of the chunks before.

The memory is a function of what the layer reads, and of no head: so the ablation of a head is exact, a guest reads the
memory of its host, and neither changes it. Tubes thicken by the likeness of what they hold to what is read.

Shape suffixes: B streams, S tokens, T of a chunk, M tubes, D width.
"""

import torch
from torch import Tensor

from organisms.pseudopods.tubes import TubeRules, Tubes, flow


def after(tubes: Tubes, h_BTD: Tensor, store_D: Tensor, rules: TubeRules) -> Tubes:
    """Return the tubes after a chunk, whose tokens each open one.

    What flows through a tube is the mean over the chunk's tokens of its share of ``exp(h content / sqrt(D))`` by
    conductance (`flow`); a new tube of the token h has the conductance ``sigmoid(store h)``, so that what is worth
    keeping is learnt with the interface. Gradients flow through all of it but the choice of which tubes stay.

    Parameters
    ----------
    tubes
        Those before the chunk.
    h_BTD
        The normed stream that the layer reads.
    store_D
        What a token's worth is read by, a part of the interface.
    rules
        How tubes live; a chunk is a step.
    """
    fit_BTM = h_BTD @ tubes.content.mT / h_BTD.shape[-1] ** 0.5
    flux = flow(tubes.conductance.unsqueeze(1).expand_as(fit_BTM), fit_BTM).mean(1)
    newest_first = h_BTD.flip(1)
    worth = (newest_first @ store_D).sigmoid()
    return rules.opened(Tubes(tubes.content, tubes.conductance, flux), newest_first, worth)[0]


def before_each(
    tubes: Tubes, h_BSD: Tensor, chunk: int, store_D: Tensor, rules: TubeRules, truncation: int | None = None
) -> list[Tubes]:
    """Return the tubes before each chunk, and those after the last whole one.

    Parameters
    ----------
    tubes
        Those before the first.
    h_BSD
        The normed stream that the layer reads, from the beginning of a chunk on; the last may be unfinished.
    chunk
        T.
    store_D, rules
        As `after` takes them.
    truncation
        Chunks after which gradients are cut; None: they are not.
    """
    found = [tubes]
    for place in range(1, h_BSD.shape[1] // chunk + 1):
        tubes = after(tubes, h_BSD[:, (place - 1) * chunk : place * chunk], store_D, rules)
        if truncation is not None and place % truncation == 0:
            tubes = tubes.detach()
        found.append(tubes)
    return found


def joined(tubes: list[Tubes]) -> Tubes:
    """Return the tubes before each of K chunks as those of B K sequences, a stream's chunks side by side."""
    content = torch.stack([each.content for each in tubes], 1)
    conductance = torch.stack([each.conductance for each in tubes], 1)
    return Tubes(
        content.flatten(0, 1), conductance.flatten(0, 1), torch.zeros_like(conductance).flatten(0, 1)
    )
