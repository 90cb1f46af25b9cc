"""Worths against their definitions in float64."""

import math

import numpy as np
import pytest
import torch

from organisms.residual.worths import information
from organisms.residual.writes import Writes
from tests.fixtures.small_worlds import small_task
from tests.organisms.cases import CASES, in_float64
from tests.organisms.hosted import settled, told

P, N, S, W, D = 300, 3, 4, 5, 7


def slopes(at, host, layer, x):
    """The gradient of each example's loss with respect to the stream, in float64."""
    wide = at.species.organism(host.interface)
    wide.pool.load(host.pool.tensors(), host.pool.occupants)
    wide, _, _ = in_float64(wide)
    x = x.clone().requires_grad_(True)
    (found,) = torch.autograd.grad(wide.tail(layer + 1, x, at.targets).sum(), x)
    return found


@pytest.mark.parametrize("case", {case.family: case for case in CASES}.values(), ids=str)
def test_alignment_is_the_mean_cosine_of_the_change_with_minus_the_gradient(case):
    at = settled(case)
    found = at.species.assay(at.guest, at.frozen, ("alignment",), losses=False).measures["alignment"]
    for value, genome in zip(found.tolist(), at.genomes(), strict=True):
        by_host = []
        for host in at.hosts:
            each = told(case, at, host, genome)
            down = -slopes(at, host, genome.depth, each.stream)
            cosines = []
            for y, g in zip(each.change, down, strict=True):
                size = (y.norm() * g.norm()).item()
                cosines.append((y * g).sum().item() / size if size else 0.0)
            by_host.append(np.mean(cosines))
        assert value == pytest.approx(np.mean(by_host), abs=2e-3)


def by_definition(task, pooled, targets):
    """Wilks' lambda of the first four principal coordinates, from scatter within and between, or from residuals."""
    centred = pooled - pooled.mean(0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    kept = int((sizes[:4] ** 2 > 1e-9 * sizes[0] ** 2).sum())
    if not kept:
        return 0.0
    u = left[:, :kept] * sizes[:kept]
    if task.regression:
        t = targets - targets.mean(0)
        rest = u - t @ np.linalg.lstsq(t, u, rcond=None)[0]
        independent = np.linalg.matrix_rank(t)
    else:
        rest = np.concatenate([u[targets == c] - u[targets == c].mean(0) for c in np.unique(targets)])
        independent = len(np.unique(targets)) - 1
    nats = -0.5 * (np.linalg.slogdet(rest.T @ rest)[1] - np.linalg.slogdet(u.T @ u)[1])
    return 1 - math.exp(-2 * max(0.0, nats - kept * independent / (2 * (len(u) - 1))))


def drawn(kind):
    """Three parts: one writes what the target says and noise, one noise, one in fewer directions than four."""
    rng = np.random.default_rng(4)
    task = small_task(kind, "discrete" if kind == "token" else "continuous")
    shape = (P, S) if task.per_position else (P,)
    targets = rng.normal(size=(*shape, 5)) if task.regression else rng.integers(0, 4, shape)
    values = rng.normal(size=(P, N, S, W))
    told = targets[..., 0] if task.regression else np.asarray(targets == 2, dtype=np.float64)
    values[:, 0, :, 0] += 3 * (told if task.per_position else told[:, None])
    values[:, 2, :, 1:] = 0
    write = rng.normal(size=(N, W, D))
    return (
        task,
        torch.from_numpy(targets),
        Writes(torch.from_numpy(values).float(), torch.from_numpy(write).float()),
    )


@pytest.mark.parametrize("kind", ["class", "value", "token", "sequence"])
def test_information_is_that_of_the_definition(kind):
    task, targets, writes = drawn(kind)
    found = information(writes, task, targets)
    flat = targets.numpy().reshape(-1, *targets.shape[2:]) if task.per_position else targets.numpy()
    for value, y in zip(found.tolist(), writes.dense(), strict=True):
        wide = y.double().numpy()
        pooled = wide.reshape(-1, D) if task.per_position else wide.mean(1)
        assert value == pytest.approx(by_definition(task, pooled, flat), abs=1e-4)
    telling, noise, _ = found.tolist()
    assert telling > 0.3
    assert 0 <= noise < 0.1


def test_what_writes_nothing_tells_nothing_and_what_writes_the_target_nearly_all():
    task, targets, writes = drawn("value")
    silent = Writes(torch.zeros_like(writes.values), writes.write)
    assert information(silent, task, targets).tolist() == [0.0] * N
    exact = Writes(targets[:, None, None, :].float().expand(-1, N, S, -1), writes.write)
    assert (information(exact, task, targets) > 0.999).all()
    assert (information(exact, task, targets) <= 1).all()
    same = torch.zeros(P, dtype=torch.int64)
    assert (information(writes, small_task("class"), same) < 1e-12).all(), "one class says nothing"


def test_information_does_not_depend_on_size_and_place_and_none_is_none():
    task, targets, writes = drawn("class")
    moved = Writes(5 * writes.values + 2, writes.write)
    torch.testing.assert_close(
        information(moved, task, targets), information(writes, task, targets), rtol=1e-3, atol=1e-4
    )
    assert information(Writes(writes.values[:, :0], writes.write[:0]), task, targets).shape == (0,)
