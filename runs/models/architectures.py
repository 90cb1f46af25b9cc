"""The architectures: builders of a model for a signature, each from its own options and a generator.

A model is a `torch.nn.Module` that is called as ``model(tokens, mask=None, generator=None)`` and returns its outputs
(`runs.models.signature.Signature`) and a dictionary of metrics; ``aux_total`` among them, where there is one, is added
to the loss, and ``expert_utilization`` [L, E] is drawn.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from organisms.experts.block import Blocks
from organisms.experts.config import BlockConfig, MoEConfig
from organisms.experts.models import MoELanguageModel, MoESequenceRegressor
from organisms.flow.enhanced_layer import EnhancedFlowLayer
from organisms.flow.network import FlowNetwork
from organisms.layers.config import ExpertConfig
from organisms.pseudopods.encoder.encoder import SlimeMoldEncoder
from organisms.pseudopods.pool_config import PoolConfig
from organisms.towers.configured.collective import ConfigurableCollective
from organisms.towers.configured.config import TowerConfig
from runs.config.import_path import imported
from runs.errors import RAISED, ConfigError, told
from runs.models.network import Network, Pooled
from runs.models.options import (
    ExpertsOptions,
    FlowOptions,
    ModelChoice,
    PseudopodsOptions,
    TowersOptions,
    TransformerOptions,
)
from runs.models.signature import Signature

# (signature, options, generator of the CPU that parameters are drawn from) -> a new model; the options are those of
# the architecture (`runs.models.options`), of a builder of the user's own a dictionary.
Builder = Callable[[Signature, Any, torch.Generator], nn.Module]


def build(signature: Signature, choice: ModelChoice, generator: torch.Generator) -> nn.Module:
    """Return a new model of a configuration.

    Parameters
    ----------
    signature
        What it reads and answers.
    choice
        Architecture and options.
    generator
        What the parameters are drawn from, on the CPU.

    Raises
    ------
    ConfigError
        If the options do not fit the signature, or a builder of the user's fails or returns no module.
    """
    own = choice.kind not in BUILDERS
    builder: Builder = imported(choice.kind, "model.kind") if own else BUILDERS[choice.kind]
    options: Any = choice.options if own else getattr(choice, choice.kind)
    try:
        model = builder(signature, options, generator)
    except ValueError as error:
        where = "model" if own else f"model.{choice.kind}"
        raise ConfigError(f"{where} does not fit the task {signature.name!r}: {error}") from error
    except RAISED as error:
        if not own:
            raise
        raise ConfigError(f"model.kind {choice.kind} failed: {told(error)}") from error
    if not isinstance(model, nn.Module):
        raise ConfigError(
            f"model.kind {choice.kind} must return a torch.nn.Module, not a {type(model).__name__}"
        )
    return model


def _experts(signature: Signature, options: ExpertsOptions, generator: torch.Generator) -> nn.Module:
    """Return a mixture-of-experts transformer: a language model of symbols, else a regressor of sequences."""
    return _of_blocks(signature, options.block, options, generator)


def _transformer(signature: Signature, options: TransformerOptions, generator: torch.Generator) -> nn.Module:
    """Return a dense transformer, the baseline."""
    network = ExpertConfig(
        d_model=options.d_model,
        d_hidden=options.d_hidden,
        activation=options.activation,
        dropout=options.dropout,
    )
    block = BlockConfig(
        moe=MoEConfig(d_model=options.d_model, expert=network),
        attention=options.attention,
        feed_forward="dense",
        dropout=options.dropout,
    )
    return _of_blocks(signature, block, ExpertsOptions(n_layers=options.n_layers), generator)


def _of_blocks(
    signature: Signature, block: BlockConfig, options: ExpertsOptions, generator: torch.Generator
) -> nn.Module:
    causal = block.attention.model_copy(update={"causal": signature.causal})
    options = options.model_copy(update={"block": block.model_copy(update={"attention": causal})})
    if signature.tokens == "continuous":
        config = options.model(n_inputs=signature.features, n_outputs=signature.outputs)
        regressor = MoESequenceRegressor(config, generator)
        return regressor if signature.per_position else Pooled(regressor)
    if signature.kind == "token" and signature.causal and signature.outputs == signature.features:
        return MoELanguageModel(options.model(vocab_size=signature.features), generator)
    return Network(signature, block.moe.d_model, Blocks(options.model(), generator), generator)


def _flow(signature: Signature, options: FlowOptions, generator: torch.Generator) -> nn.Module:
    """Return a network of flow layers: `FlowNetwork` for the next symbol, else such layers between two maps."""
    if signature.kind == "token" and signature.causal and signature.outputs == signature.features:
        return FlowLanguageModel(
            FlowNetwork(
                signature.features,
                options.d_model,
                options.n_layers,
                signature.length,
                num_heads=options.n_heads,
                num_patterns=options.n_patterns,
                base_sparsity=options.base_sparsity,
                num_channels=options.n_channels,
                window=options.window,
                self_attention=options.self_attention,
                memory_size=options.memory_size,
                generator=generator,
            )
        )
    layers = [
        EnhancedFlowLayer(
            options.d_model,
            options.d_model,
            options.n_patterns,
            options.n_heads,
            base_sparsity=options.base_sparsity,
            num_channels=options.n_channels,
            window=options.window,
            causal=signature.causal,
            self_attention=options.self_attention,
            memory_size=options.memory_size,
            block_size=None if options.memory_size is None else signature.length,
            generator=generator,
            n_layers=options.n_layers,
        )
        for _ in range(options.n_layers)
    ]
    return Network(signature, options.d_model, _Stack(layers), generator)


def _towers(signature: Signature, options: TowersOptions, generator: torch.Generator) -> nn.Module:
    """Return collectives of towers, each of whose fused opinion is added to the residual stream."""
    if signature.causal and options.n_heads:
        raise ValueError(
            "the attention of towers sees later tokens, but the task is causal; set model.towers.n_heads to 0"
        )
    tower = TowerConfig(
        dim=options.d_model,
        depth=options.depth,
        num_heads=options.n_heads,
        expansion=options.expansion,
        activation=options.activation,
        dropout=options.dropout,
    )
    layers = [
        ConfigurableCollective(
            f"collective_{layer}",
            {f"tower_{number}": tower for number in range(options.n_towers)},
            fusion=options.fusion,
            seed=_drawn_seed(generator),
        )
        for layer in range(options.n_layers)
    ]
    return Network(signature, options.d_model, _Residual(layers), generator)


def _pseudopods(signature: Signature, options: PseudopodsOptions, generator: torch.Generator) -> nn.Module:
    """Return an encoder whose heads are pseudopods, between two maps."""
    encoder = SlimeMoldEncoder(
        options.d_model,
        options.n_heads,
        options.d_hidden,
        options.dropout,
        options.activation,
        batch_first=True,
        norm_first=True,
        num_layers=options.n_layers,
        pool=PoolConfig(rank=options.rank, width=options.width),
        seed=_drawn_seed(generator),
    )
    return Network(signature, options.d_model, _Encoder(encoder, signature.causal), generator)


BUILDERS: Mapping[str, Builder] = MappingProxyType(
    {
        "experts": _experts,
        "transformer": _transformer,
        "flow": _flow,
        "towers": _towers,
        "pseudopods": _pseudopods,
    }
)


def _drawn_seed(generator: torch.Generator) -> int:
    return int(torch.randint(2**31, (), generator=generator))


def _refuse_padding(mask: Tensor | None) -> None:
    if mask is not None and not bool(mask.all()):
        raise ValueError("this architecture reads no padding: give sequences of one length, without a mask")


class FlowLanguageModel(nn.Module):
    """A `FlowNetwork` under the call of a model; it reads no padding."""

    def __init__(self, network: FlowNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, tokens: Tensor, mask: Tensor | None = None, generator: torch.Generator | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the logits at each token, [B, S, V], and the metrics of the layers.

        Parameters
        ----------
        tokens, mask, generator
            As in `runs.models.network.Network.forward`; nothing is drawn.

        Raises
        ------
        ValueError
            If some tokens are padding, or `FlowNetwork` refuses them.
        """
        _refuse_padding(mask)
        logits: Tensor
        logits, metrics = self.network(tokens)
        return logits, metrics


class _Stack(nn.Module):
    """Flow layers, one after the other, as the body of a `Network`."""

    def __init__(self, layers: list[EnhancedFlowLayer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(
        self, x: Tensor, mask: Tensor | None, generator: torch.Generator | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        _refuse_padding(mask)
        found = []
        for layer in self.layers:
            x, metrics = layer(x)
            found.append(metrics)
        return x, {name: torch.stack([each[name] for each in found]) for name in found[0]}


class _Residual(nn.Module):
    """x <- x + collective(x), one after the other."""

    def __init__(self, layers: list[ConfigurableCollective]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(
        self, x: Tensor, mask: Tensor | None, generator: torch.Generator | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        _refuse_padding(mask)
        for layer in self.layers:
            x = x + layer(x)
        return x, {}


class _Encoder(nn.Module):
    """An encoder under the call of a body."""

    def __init__(self, encoder: SlimeMoldEncoder, causal: bool) -> None:
        super().__init__()
        self.encoder, self.causal = encoder, causal

    def forward(
        self, x: Tensor, mask: Tensor | None, generator: torch.Generator | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        padding = None if mask is None else ~mask
        out: Tensor = self.encoder(x, src_key_padding_mask=padding, is_causal=self.causal)
        return out, {}
