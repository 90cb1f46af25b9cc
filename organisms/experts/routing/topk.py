"""Top-k: each token goes to the experts of its k largest logits."""

from jaxtyping import Bool, Float
from torch import Tensor

from organisms.experts.routing.choice import Choice, best
from organisms.experts.routing.router import Router


class TopKRouter(Router):
    """Each token by itself takes the k experts of its largest logits; of equal ones the first.

    Without a loss or bias that balances them, the experts that are ahead early get more tokens and stay ahead.

    References
    ----------
    Shazeer et al. 2017, section 2.1; Fedus et al. 2022 (Switch: k = 1); Jiang et al. 2024 (Mixtral: k = 2).
    """

    def choose(
        self, logits: Float[Tensor, "N E"], logs: Float[Tensor, "N E"], mask: Bool[Tensor, " N"]
    ) -> Choice:
        """Take the k largest logits of each token."""
        return best(logits, self.config.k)
