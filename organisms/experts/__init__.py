"""Experts: feed-forward networks of which a router activates a few for each token (mixture of experts).

The names below are the library's public interface, each imported when it is first used. `build_moe` makes one layer
for a model of your own; `MoESequenceRegressor` and `MoELanguageModel` are whole models. ``organisms.experts.species``
is no part of it: it makes experts a family of components that live and die in the harness.
"""

from typing import TYPE_CHECKING

from organisms.lazy import exports

if TYPE_CHECKING:
    from organisms.experts.block import Blocks as Blocks
    from organisms.experts.block import TransformerBlock as TransformerBlock
    from organisms.experts.config import BlockConfig as BlockConfig
    from organisms.experts.config import ModelConfig as ModelConfig
    from organisms.experts.config import MoEConfig as MoEConfig
    from organisms.experts.config import RouterConfig as RouterConfig
    from organisms.experts.dispatch.expert_ffn import ExpertFFN as ExpertFFN
    from organisms.experts.feed_forward import MoEFeedForward as MoEFeedForward
    from organisms.experts.feed_forward import build_moe as build_moe
    from organisms.experts.incremental import new_caches as new_caches
    from organisms.experts.models import MoELanguageModel as MoELanguageModel
    from organisms.experts.models import MoESequenceRegressor as MoESequenceRegressor
    from organisms.experts.routing.bias import BiasRouter as BiasRouter
    from organisms.experts.routing.bias import update_biases as update_biases
    from organisms.experts.routing.build import build_router as build_router
    from organisms.experts.routing.choice import Choice as Choice
    from organisms.experts.routing.choice import best as best
    from organisms.experts.routing.decision import RoutingInfo as RoutingInfo
    from organisms.experts.routing.expert_choice import ExpertChoiceRouter as ExpertChoiceRouter
    from organisms.experts.routing.router import BaseRouter as BaseRouter
    from organisms.experts.routing.settings import set_routing as set_routing
    from organisms.experts.routing.sinkhorn import SinkhornRouter as SinkhornRouter
    from organisms.experts.routing.topk import TopKRouter as TopKRouter
    from organisms.layers.config import AttentionConfig as AttentionConfig
    from organisms.layers.config import ExpertConfig as ExpertConfig
    from organisms.layers.dense_ffn import DenseFFN as DenseFFN
    from organisms.layers.initialisation import scaled_init_ as scaled_init_
    from organisms.layers.key_values import KeyValues as KeyValues
    from organisms.layers.key_values import Reading as Reading
    from organisms.layers.norms import RMSNorm as RMSNorm
    from organisms.layers.rotary import RoPE as RoPE
    from organisms.layers.self_attention import SelfAttention as SelfAttention
else:
    __all__, __getattr__, __dir__ = exports(__name__)
