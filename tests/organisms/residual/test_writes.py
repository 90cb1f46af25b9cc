import pytest
import torch

from organisms.nn import readout
from organisms.residual import writes as written
from organisms.residual.writes import Writes
from tests.fixtures.small_worlds import KINDS, LENGTH, NAMES, OUTPUTS, small_interface, small_task

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


def test_gradients_are_those_of_the_sums():
    task, stream = small_task(), drawn(B, LENGTH, D, seed=3)
    interface = {name: tensor.double() for name, tensor in small_interface(task).items()}
    found, expected = [], []
    for gradients, outputs in (
        (found, lambda given: given.outputs(task, interface, stream)),
        (
            expected,
            lambda given: torch.stack([readout(task, interface, stream + one) for one in dense(given)]),
        ),
    ):
        leaves = writes().values.requires_grad_(), writes().write.requires_grad_()
        gradients += torch.autograd.grad(outputs(Writes(*leaves)).square().sum(), leaves)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("inner", [1, W])
@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_outputs_are_those_of_the_stream_with_each_component_added(kind, inner):
    task, stream, given = small_task(*kind), drawn(B, LENGTH, D, seed=3), writes(inner)
    interface = {name: tensor.double() for name, tensor in small_interface(task).items()}
    expected = torch.stack([readout(task, interface, stream + one) for one in dense(given)])
    assert expected.shape == (
        (N, B, LENGTH, OUTPUTS) if task.kind in ("token", "sequence") else (N, B, OUTPUTS)
    )
    torch.testing.assert_close(given.outputs(task, interface, stream), expected)


def test_taking_out_all_that_a_stream_is_gives_the_readout_of_nothing():
    task, given = small_task(), writes()[[1]]
    interface = {name: tensor.double() for name, tensor in small_interface(task).items()}
    found = (-given).outputs(task, interface, given.total())
    torch.testing.assert_close(found[0], interface["bias"].expand(B, -1), atol=1e-6, rtol=0)
