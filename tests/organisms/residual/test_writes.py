import pytest
import torch

from organisms import nn
from organisms.nn import example_losses, readout
from organisms.residual import writes as written
from organisms.residual.writes import Writes
from tests.fixtures.small_worlds import (
    KINDS,
    LENGTH,
    NAMES,
    OUTPUTS,
    examples_of,
    small_interface,
    small_task,
)

B, N, W, D = 5, 4, 3, 9


@pytest.fixture(params=["in full", "as factors"], autouse=True)
def way(request, monkeypatch):
    """What is written is kept in full where that fits, else as its factors."""
    if request.param == "as factors":
        monkeypatch.setattr(written, "MOST_IN_FULL", 0)


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def writes(inner=W) -> Writes:
    return Writes(drawn(B, N, LENGTH, inner), drawn(N, inner, D, seed=1))


def dense(given: Writes) -> torch.Tensor:
    return torch.einsum("bnsw,nwd->nbsd", given.values, given.write)


def test_each_component_writes_the_product_of_its_factors():
    torch.testing.assert_close(torch.stack(list(writes().dense())), dense(writes()))


def test_the_total_is_the_sum_over_components():
    torch.testing.assert_close(writes().total(), dense(writes()).sum(0))


def test_some_components_can_be_kept_and_all_be_turned_round():
    torch.testing.assert_close(dense(writes()[[2, 0]]), dense(writes())[[2, 0]])
    torch.testing.assert_close(dense(-writes()), -dense(writes()))
    assert list(writes()[[]].dense()) == []


def test_along_a_slope_is_an_inner_product_for_each_example():
    slope = drawn(B, LENGTH, D, seed=2)
    torch.testing.assert_close(writes().along(slope), torch.einsum("nbsd,bsd->bn", dense(writes()), slope))


def test_norms_and_sizes_are_euclidean():
    torch.testing.assert_close(
        writes().norms(), torch.linalg.vector_norm(dense(writes()), dim=-1).transpose(0, 1)
    )
    torch.testing.assert_close(writes().size, dense(writes()).square().sum((1, 2, 3)))


def readings(*kind):
    """A task, an interface in double precision, and B streams with their targets."""
    task = small_task(*kind)
    interface = {name: tensor.double() for name, tensor in small_interface(task).items()}
    targets = examples_of(task)[1][:B]
    return (
        task,
        interface,
        drawn(B, LENGTH, D, seed=3),
        targets.double() if task.regression else targets.long(),
    )


def one_by_one(given, task, interface, stream, targets):
    return torch.stack(
        [example_losses(task, readout(task, interface, stream + one), targets) for one in dense(given)]
    )


def test_gradients_are_those_of_the_sums():
    found, expected = [], []
    for gradients, losses in ((found, Writes.losses), (expected, one_by_one)):
        leaves = writes().values.requires_grad_(), writes().write.requires_grad_()
        gradients += torch.autograd.grad(losses(Writes(*leaves), *readings()).square().sum(), leaves)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("at_once", [1, 2 * N * LENGTH * OUTPUTS, 2**19])  # one example, some or all
@pytest.mark.parametrize("inner", [1, W])
@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_losses_are_those_of_the_stream_with_each_component_added(kind, inner, at_once, monkeypatch):
    monkeypatch.setattr(nn, "MOST_IN_CACHE", at_once)
    given, read = writes(inner), readings(*kind)
    expected = one_by_one(given, *read)
    assert expected.shape == (N, B)
    torch.testing.assert_close(given.losses(*read), expected)
    assert given[[]].losses(*read).shape == (0, B)


def test_taking_out_all_that_a_stream_is_gives_the_loss_of_the_bias():
    (task, interface, _, targets), given = readings(), writes()[[1]]
    found = (-given).losses(task, interface, given.total(), targets)
    expected = example_losses(task, interface["bias"].expand(B, -1), targets)
    torch.testing.assert_close(found[0], expected, atol=1e-6, rtol=0)
