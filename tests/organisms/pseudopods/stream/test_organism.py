import copy
import pickle
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from organisms.pseudopods.pool_config import PoolConfig
from organisms.pseudopods.stream.organism import Organism
from organisms.pseudopods.stream.state import FlowState
from organisms.pseudopods.tubes import TubeRules
from tests.organisms.layers.definitions import drawn
from tests.organisms.pseudopods.stream import naive_stream

B, D, T, M = 2, 8, 3, 4
RULES = TubeRules(0.8, M, thinnest=0.3)


def organism(**options):
    made = Organism(
        D, 2, **{"num_layers": 2, "block": T, "tubes": RULES, "dim_feedforward": 6} | options
    ).double()
    for seed, (name, parameter) in enumerate(made.named_parameters()):
        if not name.endswith(("query", "key", "value", "output")):  # what is behind a rank stays zero
            parameter.data = parameter.data + 0.5 * drawn(*parameter.shape, seed=seed)
    return made


def test_metrics_are_told_how_strongly_each_slot_writes_and_change_nothing():
    told = {}
    plain, watched = organism(), organism(metrics=told.__setitem__)
    x = drawn(B, 2 * T + 1, D)
    assert torch.equal(watched(x)[0], plain(x)[0])
    assert sorted(told) == ["layers.0.written", "layers.1.written"]
    heads, kept = watched.layers[0].pseudopods, []
    write = heads.write
    heads.write = lambda attended, kernel: kept.append(attended) or write(attended, kernel)
    watched(x)
    for slot in range(watched.slots):
        written = kept[0][:, slot] @ heads.output[slot]
        torch.testing.assert_close(told["layers.0.written"][slot], written.square().mean().sqrt().detach())


def test_metrics_are_a_function():
    with pytest.raises(
        ValueError, match=r"^metrics must be a function of a name and a tensor, but is a str$"
    ):
        organism(metrics="loss")


def in_chunks(model, x, cuts):
    state, read = None, []
    for start, end in zip([0, *cuts], [*cuts, x.shape[1]], strict=True):
        out, state = model(x[:, start:end], state)
        read.append(out)
    return torch.cat(read, 1), state


@pytest.mark.parametrize("length", [1, 3, 4, 6, 7, 9, 20])
@pytest.mark.parametrize(
    "pool", [PoolConfig(), PoolConfig(slots=3, rank=(1, 3), width=(4, 2))], ids=["full", "mixed"]
)
def test_a_layer_does_what_the_equations_say(length, pool):
    layer, x = organism(num_layers=1, pool=pool).layers[0], drawn(B, length, D)
    for name in ("query_bias", "value_bias"):
        bias = getattr(layer.pseudopods, name)
        sizes = layer.pseudopods.ranks if name == "query_bias" else layer.pseudopods.widths
        bias.data.mul_(torch.arange(bias.shape[1]) < sizes[:, None])
    nothing = drawn(B, 0, D)
    found, _ = layer(x, nothing, RULES.none(x[:, 0]), nothing)
    torch.testing.assert_close(found, torch.stack([naive_stream.read(layer, each) for each in x]))


@settings(max_examples=60)
@given(length=st.integers(1, 25), seed=st.integers(0, 99), data=st.data())
def test_a_stream_that_is_cut_anywhere_has_the_outputs_of_the_whole(length, seed, data):
    cuts = data.draw(st.sets(st.integers(1, length - 1)) if length > 1 else st.just(set()))
    model, x = organism(), drawn(B, length, D, seed=seed)
    whole, end = model(x)
    cut, last = in_chunks(model, x, sorted(cuts))
    torch.testing.assert_close(cut, whole)
    for tensor, wanted in zip(tensors(last), tensors(end), strict=True):
        torch.testing.assert_close(tensor, wanted)


def tensors(state):
    hidden = [tensor for each in state.hidden for tensor in (each.content, each.conductance, each.flux)]
    return [state.input, state.residual, *hidden]


@settings(max_examples=30)
@given(length=st.integers(1, 20), seed=st.integers(0, 99), data=st.data())
def test_a_token_sees_neither_a_later_one_nor_another_sequence(length, seed, data):
    place = data.draw(st.integers(0, length - 1))
    model, x = organism(), drawn(B, length, D, seed=seed)
    other = x.clone()
    other[0, place] = drawn(D, seed=seed + 1)
    (before, _), (after, _) = model(x), model(other)
    assert torch.equal(after[0, :place], before[0, :place])
    torch.testing.assert_close(after[1], before[1], rtol=0, atol=1e-12)
    assert not torch.allclose(after[0, place:], before[0, place:])


def test_what_is_out_of_sight_is_remembered_by_the_state_alone():
    model, x = organism(num_layers=1, tubes=TubeRules(0.8, 2 * T)), drawn(B, 4 * T, D)
    other = x.clone()
    other[:, 0] = drawn(B, D, seed=1)
    last = slice(3 * T, None)  # sees the third block and its own
    assert not torch.allclose(model(x)[0][:, last], model(other)[0][:, last])
    anew, _ = model(x[:, 2 * T :])
    assert not torch.allclose(model(x)[0][:, last], anew[:, T:])


def test_the_state_does_not_grow_and_holds_no_graph():
    model, sizes, chunks = organism(), set(), []
    state = None
    for seed in range(40):
        x = drawn(B, 5, D, seed=seed).requires_grad_() * 1
        chunks.append(weakref.ref(x))
        out, state = model(x, state)
        del x
        assert out.requires_grad
        assert not any(tensor.requires_grad for tensor in tensors(state))
        sizes.add(tuple(tensor.numel() for tensor in tensors(state)[1:]))
        assert state.input.shape[2] < T
    del out
    assert [ref() for ref in chunks] == [None] * 40
    assert len(sizes) == 1


def test_gradients_reach_what_is_out_of_sight_within_a_call():
    model, x = organism(num_layers=1), drawn(B, 4 * T, D).requires_grad_()
    out, _ = model(x)
    out[:, -1].square().sum().backward()
    assert x.grad[:, : 2 * T].any()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())


def test_each_parameter_has_a_gradient_however_short_a_chunk_is():
    """Where one has none, data-parallel training (DDP) waits for it."""
    model = organism()
    model(drawn(B, 1, D))[0].sum().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_gradients_are_those_of_finite_differences_where_nothing_thickens():
    """How tubes thicken is taken as given by gradients; with this exponent they do not."""
    model = organism(num_layers=1, tubes=TubeRules(0.8, 12, exponent=1e3, thinnest=0.0))
    x = drawn(1, 3 * T, D).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: model(x)[0], x)


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["deepcopy", "pickle"]
)
def test_a_copy_goes_on_as_the_organism_would(copied):
    model, x = organism(), drawn(B, 10, D)
    model(x)
    other = copied(model)
    assert torch.equal(model(x, model.state)[0], other(x, other.state)[0])


def test_the_weights_are_saved_and_the_stream_is_not():
    model, other, x = organism(), organism(seed=4), drawn(B, 10, D)
    before = set(model.state_dict())
    out, _ = model(x)
    assert set(model.state_dict()) == before
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(x)[0], out)


def test_the_state_moves_with_the_organism():
    model, x = organism().eval(), drawn(B, 10, D)
    model(x)
    wanted, _ = copy.deepcopy(model)(x, model.state)
    model.float()
    found, _ = model(x.float(), model.state)
    torch.testing.assert_close(found.double(), wanted, atol=1e-4, rtol=1e-4)
    assert model.half()(x.half(), model.state)[0].isfinite().all()


def test_it_streams_under_autocast():
    model, x = organism().float(), drawn(B, 10, D).float()
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = in_chunks(model, x, [1, 4, 7])
    torch.testing.assert_close(found.float(), in_chunks(model, x, [])[0], atol=0.2, rtol=0.1)


def test_its_stats_are_those_of_the_state():
    model = organism(pool=PoolConfig(slots=4))
    assert model.stats() == {"slots": 4, "living": [2, 2], "tubes": [0.0, 0.0], "conductance": [0.0, 0.0]}
    model(drawn(B, 4 * T, D))
    stats, tubes = model.stats(), model.state.hidden[1].conductance
    assert 0 < stats["tubes"][1] == (tubes > 0).sum().item() / B
    assert stats["conductance"][1] == pytest.approx(tubes.sum().item() / B)
    model.reset_state()
    assert model.state is None
    assert model.stats()["tubes"] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"latent_dim": 0}, "^latent_dim must be a whole number from 1 on, but is 0$"),
        ({"num_layers": 0}, "^num_layers must be a whole number from 1 on, but is 0$"),
        ({"block": 0}, "^block must be a whole number from 1 on, but is 0$"),
        ({"dim_feedforward": 0}, "^dim_feedforward must be a whole number from 1 on, but is 0$"),
        ({"nhead": 3}, "^nhead must divide d_model, 8, evenly"),
        ({"dropout": 1}, "^dropout must be at least 0 and under 1, but is 1$"),
        ({"activation": "swiglu"}, "^activation is 'swiglu', but must be one of gelu, relu, silu"),
        ({"tubes": 64}, "^tubes must be TubeRules, but is a int$"),
        ({"seed": -1}, "^seed must be a whole number from 0 on, but is -1$"),
    ],
)
def test_organisms_that_cannot_be_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        Organism(**{"latent_dim": D, "nhead": 2} | changed)


def test_stimuli_that_cannot_be_are_refused():
    model = organism()
    with pytest.raises(ValueError, match=r"^stimulus must be \[B, S, 8\], as latent_dim says"):
        model(drawn(B, 2, D + 1))
    with pytest.raises(ValueError, match=r"^stimulus must hold at least one token, but is \[2, 0, 8\]$"):
        model(drawn(B, 0, D))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"num_layers": 3},
            r"its input must be torch.float64 \[2, 2, 1, 8\] on cpu, but is torch.float64 \[3, 2, 1, 8\]",
        ),
        (
            {"block": 5},
            r"its residual must be torch.float64 \[2, 2, 3, 8\] on cpu, but is torch.float64 \[2, 2, 5, 8\]",
        ),
        (
            {"tubes": TubeRules(0.8, 9)},
            r"its hidden\[0\]\.content must be torch.float64 \[2, 4, 8\] .* \[2, 9, 8\]",
        ),
    ],
)
def test_a_state_of_another_model_is_refused(options, message):
    x = drawn(B, organism(**options).block * 3 + 1, D)
    _, state = organism(**options)(x)
    with pytest.raises(ValueError, match=f"^state is of another model: {message}"):
        organism()(x, state)


def test_other_states_are_refused():
    model, x = organism(), drawn(B, 7, D)
    _, state = model(x)
    with pytest.raises(
        ValueError, match=r"^state is of 2 sequences, but there are 3 now: begin anew, or read"
    ):
        model(drawn(B + 1, 7, D), state)
    with pytest.raises(ValueError, match=r"^state must be a FlowState, .*, but is a tuple$"):
        model(x, (state.input, state.hidden, state.residual))
    with pytest.raises(
        ValueError, match=r"^state is of another model: it has 1 layers and 1 tokens of a block under"
    ):
        model(x, FlowState(state.input, state.hidden[:1], state.residual))
    with pytest.raises(
        ValueError, match=r"^state is of another model: it has 2 layers and 4 tokens of a block under"
    ):
        model(x, FlowState(drawn(2, B, 4, D), state.hidden, state.residual))
    with pytest.raises(
        ValueError, match=r"^state is of another model: its input must be torch.float64 .* torch.float32"
    ):
        model(x, state.converted(torch.Tensor.float))


@pytest.mark.parametrize("path", ["reference", "torch"])
def test_every_path_of_the_kernel_reads_the_same_but_for_roundings(path):
    x = drawn(B, 11, D)
    (usual, end), (other, last) = organism()(x), organism(kernel=path)(x)
    torch.testing.assert_close(other, usual)
    for tensor, wanted in zip(tensors(last), tensors(end), strict=True):
        torch.testing.assert_close(tensor, wanted)


class Deaf:
    """Attention of a user's own, and no more: nobody hears anything."""

    def attention(self, q, k, v, visible, dropout=0.0):
        return v.new_zeros(*q.shape[:3], v.shape[3])


class Doubled:
    """Products of a user's own."""

    def product(self, x, weight, bias=None):
        found = 2 * (x @ weight.mT)
        return found if bias is None else found + bias


def test_a_kernel_of_ones_own_reads_the_stream():
    """Who hears nothing writes of every token what it writes of it alone; tubes thicken by the softmax all the same."""
    x, deaf = drawn(B, 11, D), organism(kernel=Deaf())
    alone = torch.cat([deaf(token)[0] for token in x.split(1, 1)], 1)
    found, state = deaf(x)
    torch.testing.assert_close(found, alone)
    assert not torch.allclose(found, organism()(x)[0])
    assert all((tubes.conductance > 0).any() for tubes in state.hidden)
    assert not torch.allclose(organism(kernel=Doubled())(x)[0], organism()(x)[0])


def test_there_is_no_such_kernel():
    with pytest.raises(ValueError, match=r"^kernel is 'tourch', .*; did you mean 'torch'"):
        organism(kernel="tourch")
