import pytest
import torch

from organisms.experts.dispatch.bias import add_bias
from tests.organisms.layers.definitions import drawn

OFFSETS = torch.tensor([2, 2, 5, 6])


def by_rows(rows, bias):
    return rows + bias[torch.tensor([0, 0, 2, 2, 2, 3])]


def test_each_row_gets_the_bias_of_its_group_where_it_lies():
    rows, bias = drawn(6, 3), drawn(4, 3, seed=1)
    wanted = by_rows(rows, bias)
    found = add_bias(rows, bias, OFFSETS)
    assert torch.equal(found, wanted)
    assert found.data_ptr() == rows.data_ptr()


def test_gradients_of_both_orders_are_those_of_finite_differences():
    rows, bias = drawn(6, 3).requires_grad_(), drawn(4, 3, seed=1).requires_grad_()

    def added(rows, bias):
        return add_bias(2 * rows, bias, OFFSETS).square()

    assert torch.autograd.gradcheck(added, (rows, bias))
    assert torch.autograd.gradgradcheck(added, (rows, bias))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_it_is_the_same():
    rows, bias = drawn(6, 3, dtype=torch.float32), drawn(4, 3, seed=1, dtype=torch.float32)
    found = add_bias(rows.cuda(), bias.cuda(), OFFSETS.cuda())
    torch.testing.assert_close(found.cpu(), by_rows(rows, bias))
