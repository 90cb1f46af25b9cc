"""The metrics of a router, under the document's names."""

import math
from collections.abc import Mapping

from torch import Tensor

from organisms.experts.config import RouterConfig
from organisms.experts.routing.decision import RoutingInfo


def metrics(info: RoutingInfo, config: RouterConfig) -> Mapping[str, Tensor]:
    """Return the metrics of one routing; `aux_total` alone has a gradient, and none synchronises a GPU.

    - ``fraction_dropped_tokens``: share of the tokens that no expert computes; ``fraction_dropped_choices``: share of
      the choices (pairs of token and expert) that are not computed;
    - ``expert_utilization`` [E]: share of each expert in the computed choices, of sum 1;
    - ``expert_demand`` [E]: number of tokens that chose each expert, which is what biases are updated by;
    - ``gate_entropy``: mean entropy of a token's probabilities, nats, at most log E;
    - ``capacity``: of each expert; without a limit the largest load;
    - ``aux_load_balance``, ``aux_z``, ``aux_entropy``, ``aux_margin``: the losses;
    - ``aux_total``: their sum, weighted by the configuration, which is to be added to the task's loss.
    """
    loads, tokens, exact = info.loads, info.mask.sum(), info.logits.dtype
    losses = {
        "aux_load_balance": (info.aux_lb, config.load_balance_weight),
        "aux_z": (info.aux_z, config.z_loss_weight),
        "aux_entropy": (info.aux_entropy, config.entropy_weight),
        "aux_margin": (info.aux_margin, config.margin_weight),
    }
    chosen = info.chosen.sum()

    def share(part: Tensor, whole: Tensor) -> Tensor:  # not in torch's default dtype, which may be half
        return part.to(exact) / whole.clamp(min=1)

    return {
        "fraction_dropped_tokens": share(info.dropped_tokens.sum(), tokens),
        "fraction_dropped_choices": share(chosen - info.kept.sum(), chosen),
        "expert_utilization": share(loads, loads.sum()),
        "expert_demand": info.demand,
        "gate_entropy": (tokens > 0).to(exact) * math.log(info.n_experts) - info.aux_entropy.detach(),
        "capacity": loads.max() if info.limit is None else loads.new_tensor(info.limit),
        **{name: loss.detach() for name, (loss, _) in losses.items()},
        "aux_total": sum((weight * loss for loss, weight in losses.values()), start=info.aux_z.new_zeros(())),
    }
