import pytest
import torch

from organisms.experts.models import MoESequenceRegressor
from organisms.flow.enhanced_layer import EnhancedFlowLayer
from runs.serving.readers import Incremental, Whole, Work, as_tensor, cut, reader_of
from tests.fixtures.exact_rows import assert_same_rows
from tests.runs.serving.small import model, numbers, symbols


def whole(own, window=100):
    return Whole(own, window, "for a test")


@pytest.mark.parametrize("kind", ["experts", "transformer", "flow"])
def test_what_can_read_token_by_token_does(kind):
    for signature in (symbols(), numbers(2)):
        incremental = kind != "flow" or signature.tokens == "discrete"
        reader = reader_of(model(signature, kind), signature, 3)
        assert type(reader) is (Incremental if incremental else Whole)
        assert reader.incremental is incremental
        assert (reader.nbytes > 0) is (reader.token_nbytes > 0) is incremental


def test_a_model_whose_tokens_depend_on_others_is_read_whole():
    own = model(numbers())
    assert isinstance(own, MoESequenceRegressor)
    for block in own.blocks.blocks:
        block.feed_forward.router.config = block.feed_forward.router.config.model_copy(
            update={"force_balanced": True}
        )
    found = reader_of(own, numbers(), 3)
    assert type(found) is Whole
    assert found.description == (
        "for each new token the last 16 tokens are read again: its experts are not chosen by each token alone"
    )


def test_what_cannot_be_read_token_by_token_says_why():
    told = "for each new token the last 16 tokens are read again: "
    carried = model(symbols(), "flow")
    carried.network.layers[1] = EnhancedFlowLayer(
        16, 16, 3, 2, window=4, causal=True, memory_size=2, carry_over=True
    )
    reasons = {
        carried.eval(): "its memory is carried over from call to call",
        model(
            numbers(2), "flow"
        ): "it counts positions from the first of them on, and was trained on no others",
        torch.nn.Identity(): "this architecture keeps nothing of them",
    }
    for own, reason in reasons.items():
        assert reader_of(own, symbols(), 3).description == told + reason


def test_a_flow_says_what_it_keeps_and_keeps_little_where_nothing_is_shared():
    small = model(symbols(), "flow")
    assert reader_of(small, symbols(), 3).description == "what the next token sees of the last 16 is kept"
    wide = model(symbols(), "flow", memory_size=5, window=4)
    assert reader_of(wide, symbols(), 3).description == (
        "what the next token sees of the last 4 is kept, and memory banks, written every 5 tokens"
    )
    readers = [reader_of(wide, symbols(), 2, shared=shared) for shared in (True, False)]
    before = [each.nbytes for each in readers]
    for reader in readers:
        reader.read([Work(0, 0, (1,) * 300), Work(1, 0, (2,))])
    assert (readers[0].nbytes > before[0], readers[1].nbytes) == (True, before[1])


@pytest.mark.parametrize("kind", ["experts", "flow"])
def test_both_ways_of_reading_come_to_the_same(kind):
    own = model(symbols(), kind)
    one, other = reader_of(own, symbols(), 2), whole(own)
    works = [Work(0, 0, (1, 2, 3)), Work(1, 0, (4,))]
    torch.testing.assert_close(one.read(works), other.read(works))
    works = [Work(1, 1, (5, 6)), Work(0, 3, (9,))]
    torch.testing.assert_close(one.read(works), other.read(works))
    for reader in (one, other):
        reader.clear(0)
    torch.testing.assert_close(*(each.read([Work(0, 0, (7,))]) for each in (one, other)))


@pytest.mark.parametrize("kind", ["experts", "flow"])
def test_what_is_kept_of_one_sequence_continues_another(kind):
    own = model(symbols(), kind)
    reader = reader_of(own, symbols(), 2)
    reader.read([Work(0, 0, (1, 2, 3, 4))])
    kept = reader.keep(0, 0, 4)
    assert sum(each.nbytes for each in kept) == 4 * reader.token_nbytes
    reader.restore(1, 0, cut(kept, 0, 2))
    reader.restore(1, 2, cut(kept, 2, 3))
    again = reader_of(own, symbols(), 1)
    again.read([Work(0, 0, (1, 2, 3))])
    assert_same_rows(reader.read([Work(1, 3, (9,))]), again.read([Work(0, 3, (9,))]))
    assert cut(kept, 1, 2)[0].untyped_storage().nbytes() == kept[0].nbytes // 4  # a copy of that part alone
    assert whole(own, 5).keep(0, 0, 4) == []


def test_tokens_are_symbols_or_vectors():
    device = torch.device("cpu")
    assert as_tensor([1, 2], device).dtype == torch.int64
    found = as_tensor([(0.5, 1.0)], device)
    assert (found.dtype, found.tolist()) == (torch.float32, [[0.5, 1.0]])
