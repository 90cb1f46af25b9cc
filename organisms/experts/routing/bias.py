"""Balance by a bias on the choice, which no gradient has to pay for."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from organisms.experts.config import RouterConfig
from organisms.experts.routing.choice import Choice, best
from organisms.experts.routing.router import Router


class BiasRouter(Router):
    """Each token takes the k experts of its largest s_e + b_e; the weights are of the scores s alone.

    Between optimizer steps `update` raises the biases of experts with too few tokens and lowers the others', by
    ``bias_update_speed``. The scores are sigmoids, as in the source, unless the configuration says otherwise: a
    softmax that has grown sharp gives its expert nearly 1 and all others nearly 0, which few biases overcome.

    References
    ----------
    DeepSeek-AI 2024, DeepSeek-V3, arXiv 2412.19437, section 2.1.2 (equations 12 to 16).
    """

    default_scores = "sigmoid"
    bias: Tensor  # float32 [E]

    def __init__(self, config: RouterConfig, d_model: int, *, generator: torch.Generator) -> None:
        super().__init__(config, d_model, generator=generator)
        self.register_buffer("bias", torch.zeros(config.n_experts))

    def choose(
        self, logits: Float[Tensor, "N E"], logs: Float[Tensor, "N E"], mask: Bool[Tensor, " N"]
    ) -> Choice:
        """Take the k largest sums of score and bias of each token."""
        return best(logs.exp() + self.bias, self.config.k)

    @torch.no_grad()
    def update(self, demand: Int64[Tensor, " E"], scale: float = 1.0) -> None:
        """Move each bias by the update speed: up where an expert is under the mean demand, down where it is over.

        At a speed that stays the biases swing about where they should be, and with them the tokens that hardly
        prefer one expert to another: let the speed fall with the learning rate.

        Parameters
        ----------
        demand
            Tokens that chose each expert in one optimizer step (`RoutingInfo.demand`), summed over its
            micro-batches, [E].
        scale
            Factor of the speed, for example that of the learning rate's schedule.

        Raises
        ------
        ValueError
            If there is not one number for each expert.
        """
        if demand.shape != self.bias.shape:
            raise ValueError(
                f"demand must be {list(self.bias.shape)}, a number an expert, but is {list(demand.shape)}"
            )
        # In whole numbers, so that an expert at the very mean stays where it is.
        lack = demand.sum() - len(demand) * demand
        self.bias += scale * self.config.bias_update_speed * lack.sign()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "BiasRouter":
        # A model that is cast to bfloat16 would round updates of 0.001 away: the bias moves, but is not cast.
        exact = self.bias
        super()._apply(fn, recurse)
        held = (
            self.bias if exact.is_meta else exact
        )  # of a meta tensor there is nothing to keep but the dtype
        self.bias = held.to(self.bias.device, exact.dtype)
        return self


def update_biases(model: nn.Module, demand: Int64[Tensor, "*L E"], scale: float = 1.0) -> None:
    """Move the biases of a model's L layers, or of one layer, once per optimizer step.

    Parameters
    ----------
    model
        What holds the routers: each of its L layers has a `BiasRouter`.
    demand
        The metric ``expert_demand`` of its forward pass, summed over micro-batches, [L, E]; of one layer [E].
    scale
        As in `BiasRouter.update`.

    Raises
    ------
    ValueError
        If there is not one row for each `BiasRouter`, and in it one number for each expert.
    """
    routers = [module for module in model.modules() if isinstance(module, BiasRouter)]
    rows = demand.unsqueeze(0) if demand.ndim == 1 else demand
    if rows.ndim != 2 or len(rows) != len(routers):
        raise ValueError(
            f"demand must be [L, E] with a row for each of the model's {len(routers)} routers of type bias, but is "
            f"{list(demand.shape)}"
        )
    for router, own in zip(routers, rows, strict=True):
        router.update(own, scale)
