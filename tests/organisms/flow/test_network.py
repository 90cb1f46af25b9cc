import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from organisms.flow.heads import adjust_num_heads
from organisms.flow.network import FlowNetwork
from organisms.flow.transformer import EnhancedFlowTransformer

V, D, LONGEST = 11, 12, 32
NETWORK = {
    "num_heads": 3,
    "num_patterns": 4,
    "window": 6,
    "base_sparsity": 0.5,
    "memory_size": 4,
    "block_size": 4,
}


def new_network(longest=LONGEST, layers=2, **given):
    return FlowNetwork(V, D, layers, longest, **NETWORK | given).double()


def symbols(length, seed=0, sequences=2):
    return torch.randint(V, (sequences, length), generator=torch.Generator().manual_seed(seed))


MODELS = {
    "memory": new_network(),
    "memory, nothing written": new_network(),
    "no memory": new_network(memory_size=None),
    "no window": new_network(window=None),
    "no attention": new_network(self_attention=False),
    "carried over": new_network(carry_over=True),
    "transformer": EnhancedFlowTransformer(V, D, 2, LONGEST, num_heads=3, num_patterns=4, window=6).double(),
}


def read(name, ids):
    model = MODELS[name]
    if name == "carried over":
        model.reset_memory()
    given = {"update_memory": False} if name == "memory, nothing written" else {}
    return model(ids, **given)[0].detach()


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=12)
@given(length=st.integers(1, LONGEST), seed=st.integers(0, 999), data=st.data())
def test_a_change_of_a_symbol_never_changes_logits_before_it_or_of_another_sequence(name, length, seed, data):
    place = data.draw(st.integers(0, length - 1))
    ids = symbols(length, seed)
    other = ids.clone()
    other[0, place] = (ids[0, place] + data.draw(st.integers(1, V - 1))) % V
    before, after = read(name, ids), read(name, other)
    assert torch.equal(after[0, :place], before[0, :place])
    assert torch.equal(after[1], before[1])
    assert not torch.equal(after[0, place], before[0, place])


@pytest.mark.parametrize("name", MODELS)
def test_a_prefix_has_the_logits_that_it_has_in_the_whole(name):
    ids = symbols(29)
    torch.testing.assert_close(read(name, ids[:, :13]), read(name, ids)[:, :13])


def test_what_lies_beyond_the_windows_is_read_from_memory_alone():
    """Two layers of a window of 6 see 10 tokens back; of the symbol before them only what it wrote is left."""
    ids = symbols(LONGEST)
    other = ids.clone()
    other[:, 0] = (ids[:, 0] + 1) % V
    for name, remembered in (("no memory", False), ("memory", True)):
        before, after = read(name, ids), read(name, other)
        assert torch.equal(after[:, 11:], before[:, 11:]) is not remembered
    assert not torch.equal(read("no memory", ids)[:, 10], read("no memory", other)[:, 10])


@pytest.mark.parametrize("memory_size", [4, None])
@pytest.mark.parametrize(("chunk", "window"), [(4, 6), (16, 6), (None, 6), (8, 1), (4, 30)])
def test_chunks_give_what_one_long_pass_gives(memory_size, chunk, window):
    ids = symbols(75)
    short = new_network(memory_size=memory_size, window=window)
    long = new_network(80, memory_size=memory_size, window=window)
    torch.testing.assert_close(short.forward_chunked(ids, chunk), long(ids)[0])
    unwritten = short.forward_chunked(ids, chunk, update_memory=False)
    torch.testing.assert_close(unwritten, long(ids, update_memory=False)[0])


def test_chunks_leave_the_memory_that_one_long_pass_leaves():
    short, long = new_network(16, carry_over=True), new_network(80, carry_over=True)
    short.forward_chunked(symbols(75))
    long(symbols(75))
    for one, other in zip(short.layers, long.layers, strict=True):
        torch.testing.assert_close(one.memory.memory_bank, other.memory.memory_bank)
    assert not torch.equal(short.layers[0].memory.memory_bank, short.layers[0].memory.initial_bank)
    short.reset_memory()
    assert all(torch.equal(each.memory.memory_bank, each.memory.initial_bank) for each in short.layers)


@pytest.mark.parametrize("length", [1, 32, 128, 512, 2048])
def test_gradients_are_those_of_float64_at_every_length(length):
    exact = new_network(2048, layers=1, window=16, memory_size=8)
    rough = new_network(2048, layers=1, window=16, memory_size=8).float()
    ids = symbols(length, sequences=1)
    found = []
    for model in (exact, rough):
        logits, _ = model(ids)
        logits.square().mean().backward()
        found.append((logits.detach(), [each.grad for each in model.parameters()]))
    torch.testing.assert_close(found[1][0].double(), found[0][0], rtol=1e-3, atol=1e-3)
    for wanted, gradient in zip(found[0][1], found[1][1], strict=True):
        assert float((gradient - wanted).norm()) <= 1e-2 * float(wanted.norm()) + 1e-6


def test_under_autocast_the_same_positions_are_chosen():
    model, ids = new_network().float(), symbols(LONGEST)
    exact, wanted = model(ids)
    with torch.autocast("cpu", torch.bfloat16):
        logits, metrics = model(ids)
        logits.float().sum().backward()
    assert logits.dtype == torch.bfloat16
    torch.testing.assert_close(logits.float(), exact, rtol=0.1, atol=0.1)
    # The first layer sees the same tokens: what it computes in the parameters' dtype is the same.
    torch.testing.assert_close(metrics["flow_span"][0], wanted["flow_span"][0])


@pytest.mark.parametrize(("d_model", "num_heads"), [(64, 8), (65, 8), (128, 12), (7, 4), (13, 4), (1, 8)])
@pytest.mark.parametrize("kind", [FlowNetwork, EnhancedFlowTransformer])
def test_widths_that_heads_cannot_share_are_read_all_the_same(kind, d_model, num_heads):
    model = kind(V, d_model, 1, LONGEST, num_heads=num_heads, window=8)
    logits, metrics = model(symbols(LONGEST))
    logits.sum().backward()
    assert logits.shape == (2, LONGEST, V)
    assert logits.isfinite().all()
    assert metrics["flow_span"].shape == (1, 2)
    part = model.layers[0] if kind is FlowNetwork else model.blocks[0]
    assert part.attention.num_heads == adjust_num_heads(d_model, num_heads)


def test_a_network_learns_to_repeat_a_symbol_from_within_its_window():
    model = FlowNetwork(V, 24, 1, 24, window=6, self_attention=False, base_sparsity=0.5, memory_size=None)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for step in range(120):
        ids = symbols(24, seed=step, sequences=8)
        logits, _ = model(ids)
        loss = torch.nn.functional.cross_entropy(logits[:, 3:].flatten(0, 1), ids[:, :-3].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * math.log(V)  # of a guess: log V


def test_a_saved_network_is_loaded_and_the_memory_of_another_is_refused_before_anything_is():
    model, other = new_network(carry_over=True), new_network(generator=torch.Generator().manual_seed(5))
    model(symbols(20))
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(other(symbols(9))[0], model(symbols(9))[0])
    before = {name: each.clone() for name, each in other.state_dict().items()}
    message = r"^layers.0.memory.memory_bank is \[8, 12\], the memory of another model: .* d_model \[4, 12\]$"
    with pytest.raises(ValueError, match=message):
        other.load_state_dict(new_network(memory_size=8).state_dict())
    assert all(torch.equal(each, before[name]) for name, each in other.state_dict().items())


@pytest.mark.parametrize("kind", [FlowNetwork, EnhancedFlowTransformer])
@pytest.mark.parametrize(
    "name", ["vocab_size", "d_model", "num_layers", "max_seq_len", "num_heads", "window"]
)
def test_models_that_cannot_be_are_refused(kind, name):
    sizes = {"vocab_size": V, "d_model": D, "num_layers": 1, "max_seq_len": 8} | {name: 0}
    with pytest.raises(ValueError, match=f"{name} must be a whole number from 1 on, but is 0"):
        kind(**sizes)
    with pytest.raises(ValueError, match=r"base_sparsity must be over 0 and at most 1, but is -1"):
        kind(V, D, 1, 8, base_sparsity=-1.0)


def test_sizes_may_be_tensors_of_one_element():
    assert FlowNetwork(torch.tensor(V), torch.tensor([D]), 1, 8)(symbols(8))[0].shape == (2, 8, V)


@pytest.mark.parametrize("name", ["memory", "transformer"])
def test_symbols_that_cannot_be_read_are_refused(name):
    model = MODELS[name]
    with pytest.raises(ValueError, match=r"input_ids must be in \[0, 11\), .* but reach from 0 to 11"):
        model(torch.tensor([[0, V]]))
    with pytest.raises(ValueError, match=r"input_ids must be in .* but reach from -1 to 0"):
        model(torch.tensor([[0, -1]]))
    with pytest.raises(
        ValueError, match=r"input_ids must have at most max_seq_len, 32, symbols .* but have 33; "
    ):
        model(symbols(33))
    with pytest.raises(
        ValueError, match=r"input_ids must be torch.int64 \[B, S\] on cpu, of at least one symbol"
    ):
        model(symbols(3)[:, :0])


@pytest.mark.parametrize(
    ("memory_size", "window", "block"), [(4, 6, 6), (9, 6, 9), (4, None, 4), (4, 50, 32)]
)
def test_a_block_is_what_the_window_leaves_to_the_memory(memory_size, window, block):
    network = new_network(memory_size=memory_size, window=window, block_size=None)
    assert [each.memory.block_size for each in network.layers] == [block, block]


def test_chunks_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="forward_chunked needs a window, but window is None"):
        MODELS["no window"].forward_chunked(symbols(8))
    for chunk in (36, 6):
        message = f"chunk_len must be at most max_seq_len, 32, and a multiple of the memory's block, 4, but is {chunk}"
        with pytest.raises(ValueError, match=message):
            MODELS["memory"].forward_chunked(symbols(8), chunk)
    with pytest.raises(ValueError, match="block_size must be at most max_seq_len, 32, but is 33"):
        new_network(block_size=33)
