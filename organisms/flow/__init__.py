"""Flow: tokens pass what they know along sparse token-token flows, mixed of a few patterns for each token.

The names below are the library's public interface, each imported when it is first used. `FlowLayer` is one
such mixture, `FlowNetwork` a whole causal language model of them.
"""

from typing import TYPE_CHECKING

from organisms.lazy import exports

if TYPE_CHECKING:
    from organisms.flow.enhanced_layer import EnhancedFlowLayer as EnhancedFlowLayer
    from organisms.flow.flow_layer import FlowLayer as FlowLayer
    from organisms.flow.flow_layer import FlowPlan as FlowPlan
    from organisms.flow.heads import adjust_num_heads as adjust_num_heads
    from organisms.flow.memory import FlowMemoryNetwork as FlowMemoryNetwork
    from organisms.flow.network import FlowNetwork as FlowNetwork
    from organisms.flow.quantised import quantised as quantised
    from organisms.flow.router import ContextAwareFlowRouter as ContextAwareFlowRouter
    from organisms.flow.transformer import EnhancedFlowTransformer as EnhancedFlowTransformer
    from organisms.flow.whole_numbers import safe_tensor_to_int as safe_tensor_to_int
else:
    __all__, __getattr__, __dir__ = exports(__name__)
