"""Pseudopods: low-rank attention heads, in layers and models for any training loop, and their memory of a stream.

The names below are the library's public interface, each imported when it is first used. Heads that live and die in the
harness are made of the same equations by ``organisms.pseudopods.species``.
"""

from typing import TYPE_CHECKING

from organisms.lazy import exports

if TYPE_CHECKING:
    from kernels.kernel import BuiltInKernel as BuiltInKernel
    from kernels.kernel import Kernel as Kernel
    from kernels.kernel import Visible as Visible
    from organisms.memory import Memory as Memory
    from organisms.pseudopods.encoder.encoder import SlimeMoldEncoder as SlimeMoldEncoder
    from organisms.pseudopods.encoder.from_torch import from_transformer_encoder as from_transformer_encoder
    from organisms.pseudopods.encoder.layer import SlimeMoldEncoderLayer as SlimeMoldEncoderLayer
    from organisms.pseudopods.evolution.config import EvolutionConfig as EvolutionConfig
    from organisms.pseudopods.heads import PseudopodAttention as PseudopodAttention
    from organisms.pseudopods.pool_config import PoolConfig as PoolConfig
    from organisms.pseudopods.stream.model import SlimeModel as SlimeModel
    from organisms.pseudopods.stream.organism import Organism as Organism
    from organisms.pseudopods.stream.state import FlowState as FlowState
    from organisms.pseudopods.tube_network import TubeNetwork as TubeNetwork
    from organisms.pseudopods.tubes import TubeRules as TubeRules
    from organisms.pseudopods.tubes import Tubes as Tubes
else:
    __all__, __getattr__, __dir__ = exports(__name__)
