"""What a model keeps of the tokens that it has read, so that the next ones alone have to be computed."""

from organisms.experts.config import ROUTERS
from organisms.experts.feed_forward import MoEFeedForward
from organisms.experts.models import MoELanguageModel, MoESequenceRegressor
from organisms.layers.key_values import KeyValues

Extendable = MoELanguageModel | MoESequenceRegressor


def new_caches(model: Extendable, slots: int) -> list[KeyValues]:
    """Return an empty cache for each block of a model, of so many sequences; ``model.extended`` reads with them.

    Raises
    ------
    ValueError
        If earlier tokens of the model depend on later ones, or on other sequences (`obstacle`).
    """
    found = obstacle(model)
    if found:
        raise ValueError(f"the model cannot read token by token: {found}")
    return model.blocks.new_caches(slots)


def obstacle(model: Extendable) -> str | None:
    """Return why a model cannot read token by token, in evaluation; None: it can."""
    block = model.config.block
    if not block.attention.causal:
        return "its attention is not causal"
    router = block.moe.router
    if block.feed_forward == "moe":
        if router.router_type not in ROUTERS:
            return f"its router {router.router_type} may look at other tokens"
        layers = [each.feed_forward for each in model.blocks.blocks]
        if not all(isinstance(each, MoEFeedForward) and each.router.decides_alone for each in layers):
            return "its experts are not chosen by each token alone"
    return None
