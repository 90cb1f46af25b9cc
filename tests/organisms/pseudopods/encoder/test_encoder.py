import copy
import io
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.kernel import BuiltInKernel, Visible
from organisms.pseudopods.encoder.encoder import SlimeMoldEncoder
from organisms.pseudopods.pool_config import PoolConfig
from tests.organisms.layers.definitions import drawn

D, H, HIDDEN = 12, 3, 10
MIXED = PoolConfig(slots=4, rank=(2, 5, 1), width=(3, 1, 6), max_rank=7)


def encoder(**options):
    made = SlimeMoldEncoder(
        D, H, HIDDEN, **{"num_layers": 2, "dtype": torch.float64, "dropout": 0.0} | options
    )
    for seed, (name, parameter) in enumerate(made.named_parameters()):
        if "pseudopods" not in name:  # what is behind a rank stays zero
            parameter.data = parameter.data + 0.1 * drawn(*parameter.shape, seed=seed)
    return made


def test_each_head_has_a_rank_and_a_width_of_its_own():
    """Against a loop over heads, with the scale of each."""
    heads, x = encoder(pool=MIXED).layers[0].pseudopods, drawn(2, 5, D)
    for slot, (rank, width) in enumerate(zip(MIXED.rank, MIXED.width, strict=True)):
        heads.query_bias.data[slot, :rank] = drawn(rank, seed=1)
        heads.value_bias.data[slot, :width] = drawn(width, seed=2)
    wanted = heads.bias
    for slot, (rank, width) in enumerate(zip(MIXED.rank, MIXED.width, strict=True)):
        query = x @ heads.query[slot, :rank].T + heads.query_bias[slot, :rank]
        weights = torch.softmax(query @ (x @ heads.key[slot, :rank].T).mT / rank**0.5, -1)
        value = x @ heads.value[slot, :width].T + heads.value_bias[slot, :width]
        wanted = wanted + weights @ value @ heads.output[slot, :width]
    torch.testing.assert_close(heads(x, Visible(), BuiltInKernel()), wanted)
    assert heads.living() == [0, 1, 2]


@pytest.mark.parametrize(
    "optimizer", [torch.optim.SGD, torch.optim.AdamW, torch.optim.NAdam, torch.optim.Adagrad]
)
def test_what_is_behind_a_rank_and_in_empty_slots_stays_zero(optimizer):
    model = encoder(pool=MIXED)
    steps = optimizer(model.parameters(), lr=0.1, weight_decay=0.1)
    before = copy.deepcopy(model)
    for seed in range(3):
        steps.zero_grad()
        model(drawn(5, 2, D, seed=seed)).square().sum().backward()
        steps.step()
    for now, then in (
        (layer.pseudopods, old.pseudopods) for layer, old in zip(model.layers, before.layers, strict=True)
    ):
        assert not torch.equal(now.query, then.query)
        for name, sizes in (("query", "ranks"), ("key", "ranks"), ("value", "widths"), ("output", "widths")):
            factor = getattr(now, name)
            beyond = torch.arange(factor.shape[1]) >= getattr(now, sizes)[:, None]
            assert not factor[beyond].any()
            assert factor[~beyond].any(-1).all()
        assert not now.query_bias[3].any()
        assert not now.value_bias[3].any()


def test_empty_slots_change_nothing():
    src, roomy = drawn(5, 2, D), PoolConfig(slots=6, max_rank=9, max_width=8)
    for seed in (0, 1):
        small, large = encoder(seed=seed), encoder(seed=seed, pool=roomy)
        torch.testing.assert_close(large(src), small(src))


def test_parameters_are_drawn_from_the_seed_and_from_nothing_else():
    state = torch.get_rng_state()
    one, two, other = (SlimeMoldEncoder(D, H, HIDDEN, num_layers=2, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.layers[0].pseudopods.query, other.layers[0].pseudopods.query)
    assert not torch.equal(one.layers[0].pseudopods.query, one.layers[1].pseudopods.query)
    assert one.layers[0].linear1.weight.dtype == torch.float32


def saved_and_loaded(model):
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    buffer.seek(0)
    other = encoder(pool=MIXED, seed=9)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    return other


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model)), saved_and_loaded],
    ids=["deepcopy", "pickle", "state_dict"],
)
def test_a_copy_is_the_same_and_its_own(copied):
    model, src = encoder(pool=MIXED), drawn(5, 2, D)
    other = copied(model)
    assert torch.equal(other(src), model(src))
    with torch.no_grad():
        next(other.parameters()).add_(1.0)
    assert not torch.equal(other(src), model(src))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_it_computes_in_other_dtypes(dtype):
    model, src = encoder(pool=MIXED).eval(), drawn(5, 2, D)
    exact = model(src)
    found = model.to(dtype)(src.to(dtype))
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), exact, atol=40 * torch.finfo(dtype).eps, rtol=0.05)


def test_it_trains_under_autocast():
    model = SlimeMoldEncoder(D, H, HIDDEN, num_layers=1)
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(drawn(5, 2, D).float()).square().mean()
    loss.backward()
    assert all(
        parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters()
    )


@settings(max_examples=30)
@given(place=st.integers(0, 39), seed=st.integers(0, 9), hint=st.booleans())
def test_a_causal_token_sees_no_later_one(place, seed, hint):
    model, src = encoder(batch_first=True), drawn(1, 40, D, seed=seed)
    other = src.clone()
    other[0, place] += 1
    masks = {"is_causal": True} if hint else {"mask": torch.ones(40, 40, dtype=torch.bool).triu(1)}
    before, after = model(src, **masks), model(other, **masks)
    torch.testing.assert_close(after[0, :place], before[0, :place], rtol=0, atol=1e-12)
    assert not torch.allclose(after[0, place:], before[0, place:])


def test_dropout_draws_in_training_alone():
    model, src = encoder(dropout=0.5), drawn(5, 2, D)
    assert not torch.equal(model(src), model(src))
    torch.manual_seed(3)
    first = model(src)
    torch.manual_seed(3)
    assert torch.equal(model(src), first)
    model.eval()
    assert torch.equal(model(src), model(src))


def test_metrics_are_told_how_strongly_each_slot_writes():
    told = {}
    model, src = encoder(pool=MIXED, metrics=told.__setitem__, batch_first=True), drawn(2, 5, D)
    model(src)
    assert sorted(told) == ["layers.0.written", "layers.1.written"]
    heads = model.layers[0].pseudopods
    attended = heads.attended(src, Visible(), BuiltInKernel())
    for slot in range(4):
        written = attended[:, slot] @ heads.output[slot]
        torch.testing.assert_close(told["layers.0.written"][slot], written.square().mean().sqrt().detach())


class Blind:
    """A kernel of a user's own: nobody attends to anything."""

    def attention(self, q, k, v, visible, dropout):
        return torch.zeros_like(v)


def test_a_kernel_of_ones_own_is_used():
    model, src = encoder(kernel=Blind(), num_layers=1, norm_first=True), drawn(5, 2, D)
    alone = torch.cat([model(token[None]) for token in src])
    torch.testing.assert_close(model(src), alone)
    assert not torch.allclose(encoder(num_layers=1, norm_first=True)(src), alone)


def test_no_tokens_are_no_error_and_give_gradients_of_zero():
    model = encoder()
    out = model(drawn(5, 0, D))
    assert out.shape == (5, 0, D)
    out.sum().backward()
    assert not any(parameter.grad.any() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"d_model": 0}, "^d_model must be a whole number from 1 on, but is 0$"),
        ({"nhead": 0}, "^nhead must be a whole number from 1 on, but is 0$"),
        ({"nhead": 5}, "^nhead must divide d_model, 12, evenly, which 5 does not, or pool must set rank$"),
        ({"dim_feedforward": 0}, "^dim_feedforward must be a whole number from 1 on, but is 0$"),
        ({"num_layers": 0}, "^num_layers must be a whole number from 1 on, but is 0$"),
        ({"dropout": 1.0}, r"^dropout must be at least 0 and under 1, but is 1\.0$"),
        (
            {"activation": "rleu"},
            "^activation is 'rleu', but must be one of gelu, relu, silu; did you mean 'relu'",
        ),
        ({"activation": 3}, "^activation must be a name or a function, but is a int$"),
        ({"layer_norm_eps": -1.0}, r"^layer_norm_eps must be a number from 0 on, but is -1\.0$"),
        ({"seed": -1}, "^seed must be a whole number from 0 on, but is -1$"),
        ({"kernel": "triten"}, "^kernel is 'triten', but must be one of auto, .*; did you mean 'triton'"),
        ({"kernel": 3}, "^kernel must be auto, .* methods product, attention, .*, but is a int$"),
        ({"kernel": Blind}, "^kernel must be .*, but is the class Blind itself$"),
        ({"metrics": 3}, "^metrics must be a function of a name and a tensor, but is a int$"),
        ({"pool": {"slots": 2}}, "^pool must be a PoolConfig, but is a dict$"),
        ({"pool": PoolConfig(slots=2)}, "^slots must be at least nhead, 3, but is 2$"),
        ({"pool": PoolConfig(rank=(1, 2))}, "^rank must be one number, or 3, one for each head, but has 2$"),
        (
            {"pool": PoolConfig(max_width=3)},
            "^max_width must be at least 4, as the largest head has, but is 3$",
        ),
    ],
)
def test_encoders_that_cannot_be_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        SlimeMoldEncoder(**{"d_model": D, "nhead": H} | changed)


@pytest.mark.parametrize(
    ("src", "masks", "message"),
    [
        (
            drawn(5, 2, D + 1),
            {},
            r"^src must be \[S, B, 12\], as d_model says, or \[S, 12\], and torch.float64 .* 13\]",
        ),
        (
            drawn(5, 2, D).float(),
            {},
            "^src must be .* torch.float64 on cpu as the parameters, but is torch.float32",
        ),
        (drawn(D), {}, "^src must be"),
        (
            drawn(5, 2, D),
            {"mask": torch.ones(4, 5)},
            r"^mask must be bool, .* \[5, 5\] or \[6, 5, 5\] on cpu, but is",
        ),
        (drawn(5, 2, D), {"mask": torch.ones(5, 5).long()}, "^mask must be bool, .* but is torch.int64"),
        (
            drawn(5, 2, D),
            {"src_key_padding_mask": torch.ones(5, 2)},
            r"^src_key_padding_mask must be .* \[2, 5\]",
        ),
        ([1.0], {}, "^src must be a dense torch.Tensor, but is a list$"),
    ],
)
def test_what_cannot_be_encoded_is_refused(src, masks, message):
    with pytest.raises(ValueError, match=message):
        encoder()(src, **masks)


@pytest.mark.filterwarnings("ignore:.*nested tensors is in prototype stage")  # torch says so once a process
def test_nested_tensors_are_refused():
    nested = torch.nested.nested_tensor([drawn(3, D), drawn(2, D)])
    with pytest.raises(
        ValueError, match=r"^src must be a padded tensor .*, but is nested; .*to_padded_tensor makes"
    ):
        encoder(batch_first=True)(nested)
