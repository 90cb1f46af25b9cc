"""Top-k: each token goes to the experts of its k largest logits."""

from jaxtyping import Bool, Float
from torch import Tensor

from organisms.experts.routing.choice import Choice, best
from organisms.experts.routing.router import BaseRouter


class TopKRouter(BaseRouter):
    """Each token goes to the k experts of its largest logits; of equal ones the first.

    Without a load-balancing loss routing collapses: experts that are ahead early get more tokens and stay ahead.

    References
    ----------
    Shazeer et al. 2017, section 2.1; Fedus et al. 2022 (Switch: k = 1); Jiang et al. 2024 (Mixtral: k = 2).
    """

    def choose(
        self, logits: Float[Tensor, "N E"], logs: Float[Tensor, "N E"], mask: Bool[Tensor, " N"]
    ) -> Choice:
        """Choose the k experts of the largest logits for each token.

        Parameters
        ----------
        logits, logs, mask
            As in `BaseRouter.choose`.
        """
        return best(logits, self.config.k)
