"""Weights of torch's transformer encoder, taken over by pseudopods."""

from copy import deepcopy
from typing import Any, cast

import torch
from torch import Tensor, nn

from organisms.pseudopods.encoder.encoder import SlimeMoldEncoder
from organisms.pseudopods.encoder.layer import SlimeMoldEncoderLayer


def from_transformer_encoder(
    encoder: nn.TransformerEncoder | nn.TransformerEncoderLayer, **options: Any
) -> SlimeMoldEncoder:
    """Return an encoder of pseudopods that computes what torch's computes, with copies of its weights.

    Head h has the queries q = x W_q^T + b_q of its rows, the scores q (W_k x + b_k) / sqrt(R), the values x W_v^T + b_v
    and the columns of the output map that read it. Left out is b_k alone: q b_k is the same for all keys of a query.

    Parameters
    ----------
    encoder
        `torch.nn.TransformerEncoder` of `torch.nn.TransformerEncoderLayer`, or one such layer.
    **options
        `pool` (with room for heads of full rank), `kernel` and `metrics`, as `SlimeMoldEncoder` takes them.

    Raises
    ------
    ValueError
        If it is another module, if its layers differ in more than their weights, or if the pool makes smaller heads.
    """
    layers = _layers(encoder)
    settings = _settings(layers[0])
    for number, layer in enumerate(layers[1:], 1):
        differing = [name for name, value in _settings(layer).items() if value != settings[name]]
        if differing:
            raise ValueError(
                f"encoder must have layers that differ in their weights alone, but layer {number} has another "
                f"{differing[0]} than layer 0"
            )
    weight = layers[0].linear1.weight
    norm = encoder.norm if isinstance(encoder, nn.TransformerEncoder) else None
    made = SlimeMoldEncoder(
        **settings,
        **options,
        num_layers=len(layers),
        norm=deepcopy(norm),
        device=weight.device,
        dtype=weight.dtype,
    )
    _check_full(made, settings["d_model"] // settings["nhead"], settings["nhead"])
    with torch.no_grad():
        for own, source in zip(made.layers, layers, strict=True):
            _take(cast(SlimeMoldEncoderLayer, own), source)
    return made.train(encoder.training)


def _layers(encoder: nn.Module) -> list[nn.TransformerEncoderLayer]:
    layers = list(encoder.layers) if isinstance(encoder, nn.TransformerEncoder) else [encoder]
    known = [layer for layer in layers if isinstance(layer, nn.TransformerEncoderLayer)]
    if not layers or len(known) < len(layers):
        other = next((type(layer).__name__ for layer in layers if layer not in known), "one without layers")
        raise ValueError(
            "encoder must be a torch.nn.TransformerEncoder of TransformerEncoderLayers, or one of these, but is or has "
            f"a {other}"
        )
    return known


def _settings(layer: nn.TransformerEncoderLayer) -> dict[str, Any]:
    attention = layer.self_attn
    return {
        "d_model": attention.embed_dim,
        "nhead": attention.num_heads,
        "dim_feedforward": layer.linear1.out_features,
        "dropout": layer.dropout.p,
        "activation": layer.activation,
        "layer_norm_eps": layer.norm1.eps,
        "batch_first": attention.batch_first,
        "norm_first": layer.norm_first,
        "bias": layer.linear1.bias is not None,
    }


def _check_full(made: SlimeMoldEncoder, full: int, nhead: int) -> None:
    sizes = made.pool.shape(made.d_model, nhead)
    for name, found in (("rank", sizes.ranks), ("width", sizes.widths)):
        if set(found) != {full}:
            raise ValueError(
                f"pool must leave {name} at {full}, d_model by nhead, to hold heads of full rank, but sets {min(found)}"
            )


def _take(own: SlimeMoldEncoderLayer, source: nn.TransformerEncoderLayer) -> None:
    heads, attention = own.pseudopods, source.self_attn
    H, R = attention.num_heads, attention.head_dim
    for name, weight in zip(("query", "key", "value"), attention.in_proj_weight.chunk(3), strict=True):
        _fill(getattr(heads, name), weight.unflatten(0, (H, R)))
    _fill(heads.output, attention.out_proj.weight.T.unflatten(0, (H, R)))
    if heads.query_bias is not None and heads.value_bias is not None and heads.bias is not None:
        query, _, value = attention.in_proj_bias.chunk(3)
        _fill(heads.query_bias, query.unflatten(0, (H, R)))
        _fill(heads.value_bias, value.unflatten(0, (H, R)))
        heads.bias.copy_(attention.out_proj.bias)
    for name in ("linear1", "linear2", "norm1", "norm2"):
        getattr(own, name).load_state_dict(getattr(source, name).state_dict())


def _fill(slots: Tensor, heads: Tensor) -> None:
    slots[: heads.shape[0], : heads.shape[1]] = heads
