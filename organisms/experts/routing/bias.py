"""Load balancing without a loss: a bias on the choice of experts, which has no gradient."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from organisms.experts.config import RouterConfig
from organisms.experts.routing.choice import Choice, best
from organisms.experts.routing.router import BaseRouter

EXACT = (
    torch.float32
)  # of the bias, whatever torch's default or the model is: bfloat16 rounds updates of 0.001 away


class BiasRouter(BaseRouter):
    """Each token goes to the k experts of its largest s_e + b_e; the gate weights follow from the scores s alone.

    Between optimizer steps `update` raises the biases of experts with too few tokens and lowers the others', by
    ``bias_update_speed``. The scores are sigmoids, as in the source, unless the configuration says otherwise: a sharp
    softmax is nearly 1 for one expert and nearly 0 for all others, a difference that few biases overcome.

    Parameters
    ----------
    config, d_model, generator
        As in `BaseRouter`.

    References
    ----------
    DeepSeek-AI 2024, DeepSeek-V3, arXiv 2412.19437, section 2.1.2 (equations 12 to 16).
    """

    default_scores = "sigmoid"
    bias: Tensor  # float32 [E]

    def __init__(self, config: RouterConfig, d_model: int, *, generator: torch.Generator) -> None:
        super().__init__(config, d_model, generator=generator)
        self.register_buffer("bias", torch.zeros(config.n_experts, dtype=EXACT))
        self.register_load_state_dict_post_hook(_exact_again)

    def choose(
        self, logits: Float[Tensor, "N E"], logs: Float[Tensor, "N E"], mask: Bool[Tensor, " N"]
    ) -> Choice:
        """Choose the k experts of the largest sums of score and bias for each token.

        Parameters
        ----------
        logits, logs, mask
            As in `BaseRouter.choose`.
        """
        return best(logs.exp() + self.bias, self.config.k)

    @torch.no_grad()
    def update(self, demand: Int64[Tensor, " E"], scale: float = 1.0) -> None:
        """Raise the biases of experts under the mean demand by the update speed, and lower those of experts over it.

        At a constant speed the biases oscillate, and with them the experts of tokens whose scores are close: let the
        speed decay with the learning rate.

        Parameters
        ----------
        demand
            Tokens that chose each expert in one optimizer step (`RoutingInfo.demand`), summed over its
            micro-batches, [E].
        scale
            Factor of the speed, for example the learning rate's schedule.

        Raises
        ------
        ValueError
            If `demand` is not [E].
        """
        if demand.shape != self.bias.shape:
            raise ValueError(
                f"demand must be {list(self.bias.shape)}, a number an expert, but is {list(demand.shape)}"
            )
        # In whole numbers, so that an expert at exactly the mean keeps its bias.
        lack = demand.sum() - len(demand) * demand
        self.bias += scale * self.config.bias_update_speed * lack.sign()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "BiasRouter":
        # In a model that is cast to bfloat16 the bias moves to the device, but keeps its dtype. A meta tensor has no
        # values to keep.
        exact = self.bias
        super()._apply(fn, recurse)
        values = self.bias if exact.is_meta else exact
        self.bias = values.to(self.bias.device, EXACT)
        return self


def _exact_again(router: BiasRouter, _: object) -> None:
    """Convert a bias that was loaded in place of the old one, with a dtype of its own."""
    router.bias = router.bias.to(EXACT)


def update_biases(model: nn.Module, demand: Int64[Tensor, "*L E"], scale: float = 1.0) -> None:
    """Update the biases of a model's L layers, or of one layer; to be called once per optimizer step.

    Parameters
    ----------
    model
        A model of which each of the L layers has a `BiasRouter`.
    demand
        The metric ``expert_demand`` of its forward pass, summed over micro-batches, int64 [L, E]; of one layer [E].
    scale
        As in `BiasRouter.update`.

    Raises
    ------
    ValueError
        If `demand` has not one row for each `BiasRouter`, with one number for each expert.
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
