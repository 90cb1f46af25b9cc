import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from organisms.adam import Adam, clip, update

SHAPES = {"a": (3, 4), "b": (5,)}
RATES = [1e-2 / (1 + step) for step in range(30)]


def drawn(slots, seed):
    stream = torch.Generator().manual_seed(seed)
    return {name: torch.randn((slots, *shape), generator=stream) for name, shape in SHAPES.items()}


class Stacked:
    """Slots under test."""

    def __init__(self, slots, seed=0, **settings):
        self.settings = Adam(**settings)
        self.parameters = drawn(slots, seed)
        self.first = {name: torch.zeros_like(tensor) for name, tensor in self.parameters.items()}
        self.second = {name: torch.zeros_like(tensor) for name, tensor in self.parameters.items()}
        self.counts = torch.zeros(slots)

    def step(self, rate, gradients):
        update(self.settings, rate, self.counts, self.parameters, gradients, self.first, self.second)

    def clear(self, slot):
        for named in (self.first, self.second):
            for tensor in named.values():
                tensor[slot] = 0
        self.counts[slot] = 0


class Torch:
    """One slot under torch's own optimizer."""

    def __init__(self, parameters, slot, decay=0.0):
        self.slot = slot
        self.leaves = {name: tensor[slot].clone().requires_grad_() for name, tensor in parameters.items()}
        self.optimizer = torch.optim.AdamW(self.leaves.values(), weight_decay=decay)

    def step(self, rate, gradients):
        for name, leaf in self.leaves.items():
            leaf.grad = gradients[name][self.slot].clone()
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.step()

    def assert_close(self, stacked):
        for name, leaf in self.leaves.items():
            torch.testing.assert_close(stacked.parameters[name][self.slot], leaf.detach(), rtol=0, atol=2e-6)


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_every_slot_takes_the_steps_of_torchs_adam(decay):
    stacked = Stacked(3, weight_decay=decay)
    singles = [Torch(stacked.parameters, slot, decay) for slot in range(3)]
    for step, rate in enumerate(RATES):
        gradients = drawn(3, step + 1)
        stacked.step(rate, gradients)
        for single in singles:
            single.step(rate, gradients)
    for single in singles:
        single.assert_close(stacked)
    assert stacked.counts.tolist() == [30, 30, 30]


def test_without_decay_it_is_plain_adam():
    stacked, gradients = Stacked(1), drawn(1, 1)
    leaf = stacked.parameters["a"][0].clone().requires_grad_()
    leaf.grad = gradients["a"][0].clone()
    torch.optim.Adam([leaf], lr=0.01).step()
    stacked.step(0.01, gradients)
    torch.testing.assert_close(stacked.parameters["a"][0], leaf.detach())


@pytest.mark.parametrize("born", [1, 12, 29])
def test_a_newborns_steps_are_a_fresh_adams_and_its_neighbours_do_not_notice(born):
    stacked, undisturbed = Stacked(3), Stacked(3)
    for step, rate in enumerate(RATES):
        if step == born:
            stacked.clear(1)
            fresh = Torch(stacked.parameters, 1)
        gradients = drawn(3, step + 1)
        stacked.step(rate, gradients)
        undisturbed.step(rate, gradients)
        if step >= born:
            fresh.step(rate, gradients)
    fresh.assert_close(stacked)
    for name, tensor in stacked.parameters.items():
        assert torch.equal(tensor[[0, 2]], undisturbed.parameters[name][[0, 2]])
        assert not torch.allclose(tensor[1], undisturbed.parameters[name][1])


def test_under_a_shared_count_a_newborns_steps_would_be_several_times_too_large():
    own, shared = Stacked(1), Stacked(1)
    shared.counts += 20_000  # the count of old neighbours
    before, gradients = own.parameters["a"].clone(), drawn(1, 1)
    own.step(1e-3, gradients)
    shared.step(1e-3, gradients)
    ratio = (shared.parameters["a"] - before).norm() / (own.parameters["a"] - before).norm()
    assert ratio.item() == pytest.approx((1 - 0.9) / (1 - 0.999) ** 0.5, rel=1e-3)


def test_what_has_no_gradient_and_is_zero_stays_exactly_zero():
    stacked = Stacked(2, weight_decay=0.1)
    stacked.parameters["a"][0] = 0
    for step in range(5):
        gradients = drawn(2, step)
        gradients["a"][0] = 0
        stacked.step(0.1, gradients)
    assert torch.equal(stacked.parameters["a"][0], torch.zeros(3, 4))


@given(st.floats(1e-3, 1e3), st.floats(1e-2, 10), st.integers(0, 100))
@settings(deadline=None)
def test_clipping_is_torchs(scale, largest, seed):
    gradients = {name: scale * tensor for name, tensor in drawn(2, seed).items()}
    leaves = [torch.zeros_like(tensor).requires_grad_() for tensor in gradients.values()]
    for leaf, gradient in zip(leaves, gradients.values(), strict=True):
        leaf.grad = gradient.clone()
    expected = torch.nn.utils.clip_grad_norm_(leaves, largest)
    torch.testing.assert_close(clip(gradients, largest), expected)
    for leaf, gradient in zip(leaves, gradients.values(), strict=True):
        torch.testing.assert_close(gradient, leaf.grad)


def test_a_small_gradient_is_not_touched():
    gradients = {"a": torch.tensor([0.3, -0.4])}
    assert clip(gradients, 1.0).item() == pytest.approx(0.5)
    assert torch.equal(gradients["a"], torch.tensor([0.3, -0.4]))
