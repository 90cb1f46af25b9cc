import pytest
import torch

from organisms.residual import alike as of_writes
from organisms.residual.writes import Writes
from qd.lifecycle.comonad import together
from tests.organisms import alike

B, N, S, W, D = 5, 4, 7, 3, 9


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def writes(n=N, inner=W, seed=0) -> Writes:
    return Writes(drawn(B, n, S, inner, seed=seed), drawn(n, inner, D, seed=seed + 1))


def at_home(given: Writes):
    n = len(given.write)
    return of_writes.at_home(given, together(range(n)) if n else None)


def dense(given: Writes) -> list[torch.Tensor]:
    return list(torch.einsum("bnsw,nwd->nbsd", given.values, given.write))


@pytest.mark.parametrize("inner", [1, W, 2 * D])
def test_properties_at_home_are_those_of_the_definition(inner):
    found, every = at_home(writes(inner=inner)), dense(writes(inner=inner))
    for n, own in enumerate(every):
        others = every[:n] + every[n + 1 :]
        assert found["effective_rank"][n].item() == pytest.approx(alike.effective_rank(own))
        assert found["coherence"][n].item() == pytest.approx(alike.coherence(own, others))
        assert found["correlation"][n].item() == pytest.approx(alike.correlation(own, others))


def test_a_guest_is_compared_with_the_hosts_own_alone():
    guests, residents = writes(3, seed=4), writes(2, seed=8)
    found, own = of_writes.in_host(guests, residents, of_writes.OF_PAIRS), dense(residents)
    for n, guest in enumerate(dense(guests)):
        assert found["coherence"][n].item() == pytest.approx(alike.coherence(guest, own))
        assert found["correlation"][n].item() == pytest.approx(alike.correlation(guest, own))
    for name in of_writes.OF_PAIRS:
        alone = of_writes.in_host(guests, residents, [name])
        assert {each: values.tolist() for each, values in alone.items()} == {name: found[name].tolist()}


def test_copies_are_wholly_alike_and_opposites_correlate_negatively():
    twice = writes()[[1, 1]]
    same = at_home(twice)
    opposed = at_home(Writes(twice.values, twice.write * torch.tensor([1.0, -1.0])[:, None, None]))
    for found, sign in ((same, 1), (opposed, -1)):
        assert found["coherence"].tolist() == pytest.approx([1.0, 1.0])
        assert found["correlation"].tolist() == pytest.approx([sign, sign])


def test_alone_or_of_nothing_there_is_no_likeness():
    alone = at_home(writes(1))
    assert [alone[name].item() for name in of_writes.OF_PAIRS] == [0.0, 0.0]
    nobody, none = writes()[[]], at_home(writes()[[]])
    assert {name: values.tolist() for name, values in none.items()} == {name: [] for name in none}
    assert of_writes.in_host(writes(2), nobody, ["correlation"])["correlation"].tolist() == [0.0, 0.0]
    assert of_writes.in_host(nobody, writes(2), ["correlation"])["correlation"].tolist() == []
    silent = at_home(Writes(torch.zeros(B, 2, S, W), torch.zeros(2, W, D)))
    assert torch.stack(list(silent.values())).tolist() == [[0.0, 0.0]] * 3


def test_of_many_examples_the_first_are_looked_at(monkeypatch):
    given = writes()
    monkeypatch.setattr(of_writes, "AT_HOME", 2 * N * S * D)
    found, few = at_home(given), at_home(Writes(given.values[:2], given.write))
    assert all(torch.equal(found[name], few[name]) for name in found)
    monkeypatch.setattr(of_writes, "AT_HOME", 1)
    one = at_home(given)
    assert one["effective_rank"].tolist() == pytest.approx(
        [alike.effective_rank(y[:1]) for y in dense(given)]
    )
