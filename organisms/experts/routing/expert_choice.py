"""Expert choice: each expert takes the tokens of its highest scores."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from organisms.experts.routing.capacity import highest
from organisms.experts.routing.choice import Choice
from organisms.experts.routing.router import BaseRouter


class ExpertChoiceRouter(BaseRouter):
    """Each expert takes the max(1, floor(N k / E)) tokens of its highest scores; of equal ones the first.

    Loads are equal by construction. A token may have any number of experts, even none; k is the mean. Its experts
    depend on all other tokens, in evaluation as in training, so that this router reproduces no prefix and suits no
    causal model. Gate weights are the scores, not normalised, unless ``norm_topk`` is true.

    References
    ----------
    Zhou et al. 2022, Mixture-of-Experts with Expert Choice Routing, section 3.2; its capacity factor c is k here.
    """

    tokens_choose = False

    def choose(
        self, logits: Float[Tensor, "N E"], logs: Float[Tensor, "N E"], mask: Bool[Tensor, " N"]
    ) -> Choice:
        """Let each expert choose its tokens; K is the largest number of experts that chose one token.

        Parameters
        ----------
        logits, logs, mask
            As in `BaseRouter.choose`.
        """
        tokens, n_experts = int(mask.sum()), logits.shape[1]
        capacity = max(1, tokens * self.config.k // n_experts)
        taken = highest(logs, mask[:, None].expand_as(logs), capacity)
        most = max(1, int(taken.sum(1).max())) if tokens else 1
        # A stable sort, because the experts that did not choose a token, all at -inf, must still be different ones.
        ranked = logs.detach().masked_fill(~taken, -torch.inf)
        experts = torch.sort(ranked, dim=1, descending=True, stable=True).indices[:, :most]
        return Choice(experts, taken.gather(1, experts))
