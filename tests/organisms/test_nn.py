import math

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, r2_score
from torch.nn import functional as F

from organisms import nn
from organisms.layers.norms import rms_norm
from organisms.nn import example_losses, new_interface, read_losses, readout, score, stem
from tests.fixtures.small_worlds import (
    FEATURES,
    KINDS,
    LENGTH,
    NAMES,
    OUTPUTS,
    examples_of,
    small_interface,
    small_task,
)

TASKS = [small_task(*kind) for kind in KINDS]


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_rms_norm_is_torchs():
    x = drawn(2, 7, 9) * 5
    torch.testing.assert_close(rms_norm(x), F.rms_norm(x, (9,), eps=1e-6))
    assert not rms_norm(torch.zeros(2, 3)).any()


def test_an_interface_is_drawn_from_its_generator_alone():
    first, again = (new_interface(TASKS[0], 9, torch.Generator().manual_seed(1)) for _ in range(2))
    shapes = {"embed": (FEATURES, 9), "position": (LENGTH, 9), "read": (9, OUTPUTS), "bias": (OUTPUTS,)}
    assert {name: tuple(tensor.shape) for name, tensor in first.items()} == shapes
    assert all(torch.equal(first[name], again[name]) for name in first)
    other = new_interface(TASKS[0], 9, torch.Generator().manual_seed(2))
    assert not torch.equal(first["embed"], other["embed"])


def test_an_interface_has_the_sizes_it_promises():
    large = new_interface(TASKS[0], 4000, torch.Generator().manual_seed(1))
    for name, std in (("embed", 1.0), ("position", 0.5), ("read", 1 / math.sqrt(4000))):
        assert large[name].std().item() == pytest.approx(std, rel=0.05)
    assert not large["bias"].any()


@pytest.mark.parametrize("task", TASKS, ids=NAMES)
def test_the_stem_adds_positions_to_embedded_tokens(task):
    interface, (inputs, _) = small_interface(task), examples_of(task)
    hot = F.one_hot(inputs, FEATURES).float() if task.tokens == "discrete" else inputs
    expected = np.einsum("bsf,fd->bsd", hot.numpy(), interface["embed"].numpy())
    found = stem(task, interface, inputs)
    np.testing.assert_allclose(found.numpy(), expected + interface["position"].numpy(), atol=1e-5)


@pytest.mark.parametrize("task", TASKS, ids=NAMES)
def test_the_readout_is_linear_in_the_normed_stream_and_only_some_tasks_keep_places(task):
    interface, x = small_interface(task), drawn(2, 4, LENGTH, 9)
    h = F.rms_norm(x, (9,), eps=1e-6)
    every = torch.stack([h[..., s, :] @ interface["read"] + interface["bias"] for s in range(LENGTH)], dim=-2)
    expected = every if task.kind in ("token", "sequence") else every.mean(-2)
    torch.testing.assert_close(readout(task, interface, x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("task", TASKS, ids=NAMES)
def test_losses_are_torchs_and_axes_in_front_are_kept(task):
    _, targets = examples_of(task)
    places = (LENGTH,) if task.kind in ("token", "sequence") else ()
    outputs = drawn(3, len(targets), *places, OUTPUTS) * 4
    found = example_losses(task, outputs, targets)
    assert found.shape == (3, len(targets))
    for one, losses in zip(outputs, found, strict=True):
        for index, target in enumerate(targets):
            if task.kind in ("value", "sequence"):
                expected = F.mse_loss(one[index], target)
            else:
                expected = F.cross_entropy(one[index].view(-1, OUTPUTS), target.view(-1))
            torch.testing.assert_close(losses[index], expected)
        torch.testing.assert_close(example_losses(task, one, targets), losses)


@pytest.mark.parametrize("task", TASKS, ids=NAMES)
def test_scores_are_scikit_learns(task):
    _, targets = examples_of(task)
    places = (LENGTH,) if task.kind in ("token", "sequence") else ()
    outputs = drawn(len(targets), *places, OUTPUTS)
    if task.kind in ("value", "sequence"):
        # One R2 over all outputs together, which scikit-learn calls variance-weighted.
        rows = targets.view(-1, OUTPUTS).numpy(), outputs.view(-1, OUTPUTS).numpy()
        expected = r2_score(*rows, multioutput="variance_weighted")
        assert score(task, targets, targets) == 1
    else:
        expected = accuracy_score(targets.flatten().numpy(), outputs.argmax(-1).flatten().numpy())
        assert score(task, F.one_hot(targets, OUTPUTS), targets) == 1
    assert score(task, outputs, targets) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_rms_norm_of_half_types_is_as_exact_as_they_are(dtype):
    x = (drawn(5, 9) * torch.tensor([1e-4, 1.0, 300.0, 3e3, 1.5e4])[:, None]).to(dtype).requires_grad_()
    exact = x.detach().double().requires_grad_()
    found, wanted = rms_norm(x), F.rms_norm(exact, (9,), eps=1e-6)
    change = drawn(5, 9, seed=1).to(dtype)
    (slope,), (other,) = (
        torch.autograd.grad(y, leaf, change.to(y)) for y, leaf in ((found, x), (wanted, exact))
    )
    assert found.dtype == slope.dtype == dtype
    for each, expected in ((found, wanted), (slope, other)):
        torch.testing.assert_close(each.double(), expected, rtol=torch.finfo(dtype).eps, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rms_norm_of_other_types_has_the_bits_of_its_formula(dtype):
    x = drawn(40, 9).to(dtype)
    assert torch.equal(rms_norm(x), x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6))


@pytest.mark.parametrize("at_once", [1, 3 * LENGTH * OUTPUTS, 2**19])  # one example, some or all
@pytest.mark.parametrize("task", TASKS, ids=NAMES)
def test_losses_of_a_stream_are_those_of_its_readout_however_many_are_computed_at_once(
    task, at_once, monkeypatch
):
    monkeypatch.setattr(nn, "MOST_IN_CACHE", at_once)
    interface, targets = small_interface(task), examples_of(task)[1]
    targets = targets if task.regression else targets.long()
    x = drawn(len(targets), LENGTH, len(interface["read"]))
    expected = example_losses(task, readout(task, interface, x), targets)
    torch.testing.assert_close(read_losses(task, interface, x, targets), expected)
    assert read_losses(task, interface, x[:0], targets[:0]).shape == (0,)


@pytest.mark.parametrize("task", TASKS, ids=NAMES)
def test_a_cpu_computes_few_outputs_at_once_and_a_device_all(task):
    few = nn.examples_at_once(task, small_interface(task), drawn(10**6, 1, 9), copies=5)
    assert few == nn.MOST_IN_CACHE // (5 * OUTPUTS)
    assert nn.examples_at_once(task, small_interface(task), drawn(40, 1, 9).to("meta")) == 40
