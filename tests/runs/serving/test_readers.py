import pytest
import torch

from organisms.experts.models import MoESequenceRegressor
from runs.serving.readers import Incremental, Whole, Work, as_tensor, cut, reader_of
from tests.runs.serving.small import model, numbers, symbols


@pytest.mark.parametrize(
    ("kind", "expected"), [("experts", Incremental), ("transformer", Incremental), ("flow", Whole)]
)
def test_what_can_read_token_by_token_does(kind, expected):
    for signature in (symbols(), numbers(2)):
        reader = reader_of(model(signature, kind), signature, 3)
        assert type(reader) is expected
        assert reader.incremental is (expected is Incremental)
        assert (reader.nbytes > 0) is (reader.token_nbytes > 0) is reader.incremental


def test_a_model_whose_tokens_depend_on_others_is_read_whole():
    own = model(numbers())
    assert isinstance(own, MoESequenceRegressor)
    for block in own.blocks.blocks:
        block.feed_forward.router.config = block.feed_forward.router.config.model_copy(
            update={"force_balanced": True}
        )
    assert type(reader_of(own, numbers(), 3)) is Whole


def test_both_ways_of_reading_come_to_the_same():
    own = model(symbols())
    one, other = Incremental(own, 2), Whole(own, 100)
    works = [Work(0, 0, (1, 2, 3)), Work(1, 0, (4,))]
    torch.testing.assert_close(one.read(works), other.read(works))
    works = [Work(1, 1, (5, 6)), Work(0, 2, (9,))]  # the last token of a sequence is another now
    torch.testing.assert_close(one.read(works), other.read(works))
    for reader in (one, other):
        reader.clear(0)
    torch.testing.assert_close(*(each.read([Work(0, 0, (7,))]) for each in (one, other)))


def test_what_is_kept_of_one_sequence_continues_another():
    own = model(symbols())
    reader = Incremental(own, 2)
    reader.read([Work(0, 0, (1, 2, 3, 4))])
    kept = reader.keep(0, 0, 4)
    assert sum(each.nbytes for each in kept) == 4 * reader.token_nbytes
    reader.restore(1, 0, cut(kept, 0, 2))
    reader.restore(1, 2, cut(kept, 2, 3))
    assert torch.equal(reader.read([Work(1, 3, (9,))]), reader.read([Work(0, 3, (9,))]))
    assert cut(kept, 1, 2)[0].untyped_storage().nbytes() == kept[0].nbytes // 4  # a copy of that part alone
    assert Whole(own, 5).keep(0, 0, 4) == []


def test_tokens_are_symbols_or_vectors():
    device = torch.device("cpu")
    assert as_tensor([1, 2], device).dtype == torch.int64
    found = as_tensor([(0.5, 1.0)], device)
    assert (found.dtype, found.tolist()) == (torch.float32, [[0.5, 1.0]])
