import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from organisms.towers.walkers.auxiliary import AUXILIARIES, cosine, geometric, step_lengths
from organisms.towers.walkers.fusion import WalkerFusion, create_walker_fusion
from organisms.towers.walkers.inception import WalkerInception, moved_stops
from organisms.towers.walkers.walker import PRESETS, ConfigurableWalker, preset_walker
from tests.organisms.towers.fusion.fusions import moved, opinions

EVERY = pytest.mark.parametrize("preset", PRESETS)
AUX = pytest.mark.parametrize("aux_type", AUXILIARIES)


def learned(preset="shiva", aux_type="cosine", **options):
    made = create_walker_fusion(
        "walk", 6, preset, with_inception=True, num_steps=4, aux_type=aux_type, **options
    )
    return moved(made.double())


@EVERY
def test_of_two_opinions_it_is_the_walkers_answer_and_has_no_parameters(preset):
    made, (a, b) = WalkerFusion("walk", in_features=6, preset=preset), opinions(2, 2, 5)
    torch.testing.assert_close(made(a, b), preset_walker(preset)(a, b))
    assert torch.equal(create_walker_fusion("s", 6, preset=preset)(a, b), made(a, b))
    assert made.state_dict() == {}
    assert torch.equal(made(a), a)


def test_of_many_opinions_it_reads_all_legs_of_the_way():
    a, b, c = opinions(3)
    walker = ConfigurableWalker("slip", "cosine", "energy", 5)
    legs = torch.cat([walker.path(a, b), walker.path(b, c)])
    made = WalkerFusion("walk", 6, walker)
    torch.testing.assert_close(made(a, b, c), walker.read(legs))
    torch.testing.assert_close(made(c, b, a), made(a, b, c))
    torch.testing.assert_close(WalkerFusion("walk", 6, "lerp")(a, b, c), (a + 2 * b + c) / 4)


@AUX
@EVERY
def test_an_untrained_inception_changes_nothing(preset, aux_type):
    whole = [each.float() for each in opinions(3, 2, 4)]
    made = create_walker_fusion("walk", 6, preset, with_inception=True, aux_type=aux_type)
    torch.testing.assert_close(made(*whole), WalkerFusion("walk", 6, preset)(*whole))


@given(
    st.lists(st.lists(st.floats(-20, 20), min_size=4, max_size=4), min_size=2, max_size=2),
    st.sampled_from("lq"),
)
def test_moved_stops_keep_their_ends_and_their_order(logits, schedule):
    stops = torch.linspace(0, 1, 5, dtype=torch.float64) ** (1 if schedule == "l" else 2)
    found = moved_stops(stops, torch.tensor(logits, dtype=torch.float64))
    assert found.shape == (5, 2, 1)
    assert found[0].tolist() == [[0], [0]]
    assert found[-1].tolist() == [[1], [1]]
    assert bool((found.diff(dim=0) >= 0).all())
    for at, row in enumerate(logits):
        odds = [float(step) * math.exp(each) for step, each in zip(stops.diff(), row, strict=True)]
        expected = [sum(odds[:n]) / sum(odds) for n in range(5)]
        assert found[:, at, 0].tolist() == pytest.approx(expected, abs=1e-9)


@AUX
def test_a_trained_inception_moves_stops_by_content_and_every_parameter_learns(aux_type):
    made, whole = learned(aux_type=aux_type), opinions(3)
    assert not torch.allclose(made(*whole), made.walker(*whole[:2]))
    stops = made.inception(*whole[:2], made.walker)
    assert stops.shape == (4, 5, 1)
    assert not torch.allclose(stops[:, 0], stops[:, 1])
    made(*whole).square().sum().backward()
    assert all(bool(each.grad.any()) for each in made.parameters())


@AUX
@pytest.mark.parametrize("preset", ["shiva", "zeus"])
def test_gradients_are_right(aux_type, preset):
    inception = WalkerInception("inc", 3, num_steps=3, aux_type=aux_type, hidden=2)
    made = moved(WalkerFusion("walk", 3, preset, inception).double())
    whole = [each.requires_grad_() for each in opinions(3, 1, width=3)]
    names, values = zip(*made.named_parameters(), strict=True)

    def fused(*tensors):
        parameters = dict(zip(names, tensors, strict=False))
        return torch.func.functional_call(made, parameters, tensors[len(names) :])

    assert torch.autograd.gradcheck(fused, [*(each.detach().requires_grad_() for each in values), *whole])


@pytest.mark.parametrize("preset", ["lerp", "gilgamesh", "zeus"])
@given(st.integers(0, 99))
def test_with_learnt_stops_every_number_still_lies_between(preset, seed):
    whole = opinions(3, seed=seed)
    stack, fused = torch.stack(whole), learned(preset)(*whole)
    assert bool((fused <= stack.amax(0) + 1e-9).all())
    assert bool((fused >= stack.amin(0) - 1e-9).all())


def test_an_inception_has_about_the_documents_parameters():
    inception = WalkerInception("inc", in_features=512, num_steps=8, aux_type="cosine")
    assert sum(each.numel() for each in inception.parameters()) == 18_727
    made = WalkerFusion("walk", in_features=512, preset="shiva", inception=inception)
    assert made(torch.ones(2, 512), torch.zeros(2, 512)).shape == (2, 512)


def test_auxiliaries_are_their_definitions():
    a, b = torch.tensor([[3.0, 0], [0, 0]]), torch.tensor([[0, 4.0], [0, 0]])
    assert cosine(a, a).tolist() == [[1], [0]]
    assert geometric(a, b)[0].tolist() == pytest.approx([0, 5 / 7, 1 / 7])
    assert geometric(a, b)[1].tolist() == [0, 0, 0]
    path = torch.tensor([[0.0, 0], [3, 4], [3, 9], [3, 9]]).unsqueeze(1)
    assert step_lengths(path).tolist() == [[0.5, 0.5, 0]]
    assert step_lengths(torch.ones(4, 1, 2)).tolist() == [[0, 0, 0]]


@EVERY
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_other_precisions_compute_the_same_within_theirs(preset, dtype):
    expected, bound = learned(preset)(*opinions()), 40 * torch.finfo(dtype).eps
    found = learned(preset).to(dtype)(*(each.to(dtype) for each in opinions()))
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=bound)
    assert learned(preset)(*opinions(3, 0, 2)).shape == (0, 2, 6)


@AUX
def test_gradients_are_finite_where_a_way_stays_in_place(aux_type):
    made, a = learned(aux_type=aux_type), torch.zeros(5, 6, dtype=torch.float64, requires_grad=True)
    made(a, a).sum().backward()
    assert bool(a.grad.isfinite().all())


def test_parameters_belong_to_name_and_seed_and_copies_and_states_agree():
    state = torch.get_rng_state()
    first, again, other, seeded = (
        WalkerInception(name, 6, seed=seed).project
        for name, seed in (("a", None), ("a", 0), ("b", 0), ("a", 1))
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, seeded)
    made, whole = learned(), opinions()
    loaded = moved(learned(), seed=9)
    loaded.load_state_dict(made.state_dict())
    for each in (loaded, copy.deepcopy(made)):
        assert torch.equal(each(*whole), made(*whole))


def test_what_does_not_fit_together_is_refused():
    inception, (a, b) = WalkerInception("inc", 6, num_steps=5), opinions(2)
    with pytest.raises(
        ValueError, match=r"inception 'inc' must be for .* 'walk', \(7, 5\), but is for \(6, 5\)"
    ):
        WalkerFusion("walk", 7, "lerp", inception)
    with pytest.raises(ValueError, match=r"'walk', \(6, 8\), but is for \(6, 5\)"):
        WalkerFusion("walk", 6, "lerp", inception, num_steps=8)
    with pytest.raises(ValueError, match=r"num_steps of 'walk' must be that of its walker, 8, but is 5"):
        WalkerFusion("walk", 6, ConfigurableWalker(), num_steps=5)
    with pytest.raises(
        ValueError, match=r"aux_type is 'cosin', but must be one of .*; did you mean 'cosine'"
    ):
        create_walker_fusion("walk", 6, with_inception=True, aux_type="cosin")
    with pytest.raises(ValueError, match=r"num_steps of 'inc' must be at least 2"):
        WalkerInception("inc", 6, num_steps=1)
    with pytest.raises(ValueError, match=r"num_steps must be a whole number of stops from 2 on, but is 0"):
        WalkerFusion("walk", 6, num_steps=0)
    made = WalkerFusion("walk", 6)
    with pytest.raises(ValueError, match=r"fusion 'walk' is made for 1 opinions, but was given 0"):
        made()
    with pytest.raises(ValueError, match=r"opinions of fusion 'walk' must have one shape"):
        made(a, b[:2])
