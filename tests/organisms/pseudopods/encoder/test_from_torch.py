"""The encoder against torch's, with the same weights, in float64."""

import copy
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from organisms.pseudopods.encoder.from_torch import from_transformer_encoder
from organisms.pseudopods.pool_config import PoolConfig
from tests.organisms.layers.definitions import drawn

D, H, HIDDEN, LAYERS = 12, 3, 10, 2


def torch_encoder(*, norm=False, layers=LAYERS, **options):
    """One whose every parameter is drawn: torch starts with biases of zero and equal layers."""
    layer = nn.TransformerEncoderLayer(D, H, HIDDEN, **{"dropout": 0.0} | options)
    encoder = nn.TransformerEncoder(
        layer, layers, nn.LayerNorm(D) if norm else None, enable_nested_tensor=False
    )
    encoder = encoder.double()
    for seed, parameter in enumerate(encoder.parameters()):
        parameter.data = 0.4 * drawn(*parameter.shape, seed=seed)
    return encoder


@dataclass(frozen=True)
class Call:
    batch: int
    length: int
    mask: str
    padded: str

    def arguments(self, batch_first, seed):
        """Tokens and masks; each token may see the first, as torch has no rule for one that sees nothing."""
        B, S = self.batch, self.length
        src = drawn(B, S, D, seed=seed) if batch_first else drawn(S, B, D, seed=seed)
        given = {}
        hidden = drawn(S, S, seed=seed + 1) > 0.3
        hidden[:, 0] = False
        if self.mask in ("bool", "float"):
            given["mask"] = hidden if self.mask == "bool" else drawn(S, S).masked_fill(hidden, -torch.inf)
        if self.mask == "heads":
            given["mask"] = drawn(B * H, S, S)
        if self.mask == "causal":
            given["mask"] = torch.ones(S, S, dtype=torch.bool).triu(1)
            given["is_causal"] = True
        if self.padded != "no":
            lengths = torch.arange(B) % S + 1
            padding = torch.arange(S) >= lengths[:, None]
            if self.mask in ("float", "heads") or self.padded == "float":  # torch wants both of one kind
                padding = torch.zeros(B, S, dtype=torch.float64).masked_fill(padding, -torch.inf)
                if given.get("mask") is not None and given["mask"].dtype == torch.bool:
                    given["mask"] = torch.zeros(S, S).double().masked_fill(given["mask"], -torch.inf)
            given["src_key_padding_mask"] = padding
        return src, given


OPTIONS = st.fixed_dictionaries(
    {
        "norm_first": st.booleans(),
        "activation": st.sampled_from(["relu", "gelu", F.silu]),
        "batch_first": st.booleans(),
        "bias": st.booleans(),
        "norm": st.booleans(),
    }
)
CALLS = st.builds(
    Call,
    st.integers(1, 3),
    st.sampled_from([1, 5, 40]),  # short sequences take a path of their own
    st.sampled_from(["no", "bool", "float", "heads", "causal"]),
    st.sampled_from(["no", "bool", "float"]),
)


@settings(max_examples=100)
@given(options=OPTIONS, call=CALLS, training=st.booleans(), seed=st.integers(0, 99))
def test_outputs_and_all_gradients_are_torchs(options, call, training, seed):
    theirs = torch_encoder(**options).train(training)
    ours = from_transformer_encoder(theirs)
    src, masks = call.arguments(options["batch_first"], seed)
    found = []
    for encoder in (theirs, ours):
        x = src.clone().requires_grad_()
        y = encoder(x, **masks)
        y.backward(drawn(*y.shape, seed=seed + 2))
        found.append((y.detach(), x.grad))
    torch.testing.assert_close(found[1], found[0], rtol=1e-8, atol=1e-10)
    # The gradients of torch's parameters, arranged as its parameters are.
    wanted = copy.deepcopy(theirs)
    for parameter, source in zip(wanted.parameters(), theirs.parameters(), strict=True):
        parameter.data = source.grad
    for (name, parameter), gradient in zip(
        ours.named_parameters(), from_transformer_encoder(wanted).parameters(), strict=True
    ):
        torch.testing.assert_close(
            parameter.grad, gradient.data, rtol=1e-8, atol=1e-10, msg=lambda m, n=name: n + m
        )


@pytest.mark.parametrize("norm_first", [False, True])
def test_without_gradients_it_is_torchs_fast_path(norm_first):
    theirs = torch_encoder(norm_first=norm_first, batch_first=True).eval()
    src, masks = Call(2, 7, "bool", "no").arguments(True, 0)
    with torch.no_grad():
        torch.testing.assert_close(from_transformer_encoder(theirs)(src, **masks), theirs(src, **masks))


def test_single_sequences_and_single_layers_are_taken_too():
    theirs, src = torch_encoder(layers=1), drawn(7, D)
    padding = torch.arange(7) > 4
    wanted = theirs(src, src_key_padding_mask=padding)
    ours = from_transformer_encoder(theirs.layers[0])
    torch.testing.assert_close(ours(src, src_key_padding_mask=padding), wanted)


def test_room_for_other_heads_changes_nothing():
    theirs = torch_encoder()
    ours = from_transformer_encoder(theirs, pool=PoolConfig(slots=5, max_rank=6, max_width=7))
    src = drawn(4, 2, D)
    torch.testing.assert_close(ours(src), theirs(src))
    assert ours.layers[0].pseudopods.living() == [0, 1, 2]


def test_the_weights_are_copies():
    theirs, src = torch_encoder(norm=True), drawn(4, 2, D)
    before = theirs(src)
    ours = from_transformer_encoder(theirs)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.zero_()
    assert torch.equal(theirs(src), before)


def test_encoders_that_cannot_be_taken_over_are_refused():
    with pytest.raises(ValueError, match=r"^encoder must be a torch.nn.TransformerEncoder .* a Linear$"):
        from_transformer_encoder(nn.Linear(2, 2))
    mixed = torch_encoder()
    mixed.layers[1] = torch_encoder(norm_first=True).layers[0]
    with pytest.raises(ValueError, match=r"but layer 1 has another norm_first than layer 0$"):
        from_transformer_encoder(mixed)
    with pytest.raises(ValueError, match=r"^pool must leave rank at 4, .* but sets 2$"):
        from_transformer_encoder(torch_encoder(), pool=PoolConfig(rank=2))
