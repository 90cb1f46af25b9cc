"""The parts of an evolution alone: worth, behaviour, genomes, newborns, ownership."""

import types

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.effective_rank import effective_rank
from kernels.kernel import BuiltInKernel, Visible
from organisms.pseudopods.evolution import genomes
from organisms.pseudopods.evolution.constants import cost, rules
from organisms.pseudopods.evolution.observed import observed
from organisms.pseudopods.evolution.population import Population
from organisms.pseudopods.evolution.worth import averaged, drops, weights, worth
from organisms.pseudopods.evolution.yardstick import yardstick
from qd.records import Birth, Genome
from qd.seeding import generator
from tests.organisms.layers.definitions import drawn
from tests.organisms.pseudopods.evolution.loop import D, Loop, encoder

HEADS = {"dtype": torch.float64, "num_layers": 1}


def heads_of(**options):
    heads = encoder(**HEADS | options).layers[0].pseudopods
    with torch.no_grad():
        for slot, (rank, width) in enumerate(zip(heads.ranks.tolist(), heads.widths.tolist(), strict=True)):
            if heads.query_bias is not None:
                heads.query_bias[slot, :rank] = drawn(rank, seed=slot)
                heads.value_bias[slot, :width] = drawn(width, seed=slot + 9)
    return heads


def test_worth_is_the_drop_of_the_loss_to_first_order():
    """Against central differences of the loss in a factor of what each head writes."""
    model, x = encoder(dtype=torch.float64), drawn(2, 5, D)
    model(x).pow(3).mean().backward()
    found, wanted = drops([layer.pseudopods for layer in model.layers]), []
    for layer in model.layers:
        output = layer.pseudopods.output
        for slot in range(4):
            losses = []
            for factor in (1 + 1e-4, 1 - 1e-4):
                kept = output.detach().clone()
                with torch.no_grad():
                    output[slot] *= factor
                    losses.append(model(x).pow(3).mean().item())
                    output.copy_(kept)
            wanted.append((losses[1] - losses[0]) / 2e-4)
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float32), atol=1e-7, rtol=1e-4)
    assert found[[0, 1, 2, 4, 5, 6]].abs().min() > 1e-6
    assert not found[[3, 7]].any()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(-2, 2)), min_size=1, max_size=12), st.floats(0, 0.95))
def test_moving_averages_are_weighted_means_of_the_steps_that_count(values, decay):
    moments = torch.zeros(4, 1, dtype=torch.float64)
    decayed = tuple(each.double() for each in weights(decay, torch.device("cpu")))
    for value in values:
        drop = torch.tensor([torch.nan if value is None else value], dtype=torch.float64)
        moments = averaged(moments, drop, drop.isfinite(), decayed)
    found = worth(moments[:, 0].tolist())
    seen = np.array([value for value in values if value is not None])
    shares = decay ** np.arange(len(seen) - 1, -1, -1.0)
    if not len(seen):
        assert (found.mean, found.lower, found.size) == (0, 0, 0)
        return
    shares /= shares.sum()
    mean = (shares * seen).sum()
    spread = (shares * (seen - mean) ** 2).sum() * (shares**2).sum()
    assert found.mean == pytest.approx(mean, abs=1e-5)
    assert found.lower == pytest.approx(mean - 1.96 * spread**0.5, abs=1e-3)
    assert found.size == pytest.approx((shares * seen**2).sum() ** 0.5, abs=1e-5)


VISIBLE = {
    "all": Visible(),
    "causal": Visible(causal=True),
    "padded": Visible(causal=True, keys=torch.arange(7) < torch.tensor([[7], [4], [6]])),
    "biased": Visible(bias=drawn(7, 7)),
    "each": Visible(bias=drawn(3, 4, 7, 7)),
}


@pytest.mark.parametrize("visible", VISIBLE.values(), ids=VISIBLE)
def test_behaviour_is_that_of_the_first_sequences(visible):
    """Against the whole matrix of weights, and the library's effective rank of what is written."""
    heads, x = heads_of(), drawn(3, 7, D)
    q, k, v = heads.read(x)
    scores = q @ k.mT + (0 if visible.bias is None else visible.bias)
    if visible.causal:
        scores = scores.masked_fill(~torch.ones(7, 7, dtype=torch.bool).tril(), -torch.inf)
    if visible.keys is not None:
        scores = scores.masked_fill(~visible.keys[:, None, None], -torch.inf)
    weights = scores.softmax(-1)[:2]
    place = torch.arange(7.0)
    span = (weights * (place[:, None] - place).abs()).sum(-1).mean((0, 2)) / 6
    entropy = torch.special.entr(weights).sum(-1).mean((0, 2)) / np.log(7)
    written = (weights @ v[:2]) @ heads.output
    torch.testing.assert_close(
        written.sum(1) + heads.bias, heads(x, visible, BuiltInKernel())[:2], check_dtype=False
    )
    found = torch.tensor(observed(heads, x, visible, 2))
    for slot in range(3):
        strength = (written[:, slot].square().sum() / x[:2].square().sum()).log10() / 2
        rank = effective_rank(written[:, slot].flatten(0, 1))
        wanted = torch.stack([span[slot], entropy[slot], rank, strength])
        torch.testing.assert_close(found[slot], wanted.float(), atol=1e-4, rtol=1e-4, check_dtype=False)
    assert found[3, 2] == 0


@pytest.mark.parametrize("bias", [True, False])
def test_a_head_is_the_same_in_another_slot(bias):
    heads, x = heads_of(bias=bias, dtype=torch.float32), drawn(2, 5, D).float()
    before = heads(x, Visible(), BuiltInKernel())
    genome = genomes.read(heads, 1, 0)
    genomes.clear(heads, 1)
    assert heads.living() == [0, 2]
    for _, parameter in genomes.slotted(heads):
        assert not parameter[1].any()
    genomes.write(heads, 3, genome)
    assert heads.living() == [0, 2, 3]
    torch.testing.assert_close(heads(x, Visible(), BuiltInKernel()), before)
    again = genomes.read(heads, 3, 0)
    assert again.genes == genome.genes == (("rank", 3.0), ("width", 1.0))
    assert all(np.array_equal(again.arrays[name], genome.arrays[name]) for name in genome.arrays)


def test_a_genome_is_a_value():
    heads = heads_of()
    genome = genomes.read(heads, 0, 0)
    before = {name: array.copy() for name, array in genome.arrays.items()}
    with torch.no_grad():
        heads.query += 1
        heads.output += 1
    assert all(np.array_equal(before[name], array) for name, array in genome.arrays.items())


@pytest.mark.parametrize("operator", ["random", "gaussian", "line"])
def test_a_newborn_fits_its_slot(operator):
    evolution = Loop().encoder.evolution
    heads = evolution.heads[0]
    parents = {str(slot): genomes.read(heads, slot, 0) for slot in range(2)}
    names = {"random": (), "gaussian": ("0",), "line": ("0", "1")}[operator]
    birth = Birth(3, "archive", operator, (), names, None, None, None, 0.1, 1.0, 0.0, "birth", True)
    for number in range(8):
        stream = generator(0, number, "newborn")
        genome = genomes.newborn(birth, parents.__getitem__, evolution.sizes, 0.3, 0.9, stream)
        genomes.write(heads, 3, genome)
        again = genomes.read(heads, 3, 0)
        assert all(np.array_equal(again.arrays[name], genome.arrays[name]) for name in genome.arrays)
        genomes.clear(heads, 3)


@pytest.mark.parametrize(
    ("optimizer", "options", "kept"),
    [
        (torch.optim.AdamW, {"amsgrad": True}, {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"}),
        (torch.optim.SGD, {"momentum": 0.9}, {"momentum_buffer"}),
        (torch.optim.Adafactor, {}, {"row_var", "col_var"}),
    ],
)
def test_nothing_of_the_dead_is_left_to_the_newborn(optimizer, options, kept):
    heads = heads_of()
    own = optimizer(heads.parameters(), lr=0.1, **options)
    heads(drawn(2, 5, D), Visible(), BuiltInKernel()).square().sum().backward()
    own.step()
    population = Population((heads,), own, rise=5)
    population.found()
    genome, steps = population.genome(1), own.state[heads.query].get("step")
    before = {name: own.state[heads.query][name].clone() for name in kept}
    population.bury(1)
    birth = Birth(1, "archive", "gaussian", (), (), None, None, None, 0.1, 1.0, 0.0, "birth", True)
    population.bear(birth, genome, 2)
    for _, parameter in genomes.slotted(heads):
        assert not parameter.grad[1].any()
        assert parameter.grad[0].any()
    for name in kept:
        value = own.state[heads.query][name]
        assert not value[1].any()
        assert before[name][1].any()
        assert torch.equal(value[0], before[name][0])
    assert own.state[heads.query].get("step") == steps
    assert id(heads.query) in {id(p) for group in own.param_groups for p in group["params"]}


def test_a_newborn_writes_nothing_at_first_and_its_genome_in_the_end():
    heads, x = heads_of(dtype=torch.float32), drawn(2, 5, D).float()
    population = Population((heads,), torch.optim.SGD(heads.parameters(), lr=0.1), rise=4)
    population.found()
    before, genome = heads(x, Visible(), BuiltInKernel()), population.genome(0)
    birth = Birth(3, "archive", "gaussian", (), (), None, None, None, 0.1, 1.0, 0.0, "birth", True)
    population.bear(birth, genome, 2)
    written = [heads(x, Visible(), BuiltInKernel()) - before]
    for _ in range(6):
        population.raise_newborns()
        written.append(heads(x, Visible(), BuiltInKernel()) - before)
    assert not written[0].any()
    torch.testing.assert_close(written[2], written[4] / 2, atol=1e-6, rtol=1e-5)
    assert torch.equal(written[4], written[6])
    assert np.allclose(population.genome(3).arrays["ov.V"], genome.arrays["ov.V"], atol=1e-6)


def test_who_dies_while_rising_rises_no_more():
    heads = heads_of()
    population = Population((heads,), torch.optim.SGD(heads.parameters(), lr=0.1), rise=4)
    population.found()
    birth = Birth(3, "archive", "gaussian", (), (), None, None, None, 0.1, 1.0, 0.0, "birth", True)
    population.bear(birth, population.genome(0), 2)
    population.raise_newborns()
    assert heads.output[3].any()
    population.bury(3)
    population.raise_newborns()
    assert not heads.output[3].any()


def test_what_is_counted_rises_with_a_head():
    costs = [cost((("rank", rank), ("width", width)), 8, D) for rank, width in ((1, 1), (2, 1), (2, 4))]
    assert costs == sorted(costs)
    assert costs[0] == (2 * 8 * D * 2 * 2 + 64 * 9, 4 * (2 * D * 2 + 2 * 8 * D + 4 * 8 * 2))


def test_the_ruler_comes_from_the_warm_up():
    """Intensity's range is that of the genes, a measure that is always the same has one of a unit."""
    evolution = Loop(steps=200).train(20).encoder.evolution
    records, sizes = evolution.censuses[-1].records, evolution.sizes
    assert evolution.yardstick is None
    samples = [(0.1 * number, 0.5, 1.0 + number, -1.0, 0.0) for number in range(9)]
    found = yardstick(records, samples, 6, sizes)
    ends = [cost((("rank", float(n)), ("width", float(n))), 6, D) for n in (1, 4)]
    low, high = (np.log2(flops / traffic) for flops, traffic in ends)
    assert (found.ranges.low[4], found.ranges.high[4]) == (low, high)
    assert (found.ranges.low[1], found.ranges.high[1]) == (0.0, 1.0)
    assert found.ranges.low[0] < 0.1
    assert found.ranges.high[0] > 0.7
    assert found.largest_flops == ends[1][0]
    assert 0 < found.reference <= max(record.assay for record in records)
    assert yardstick(records, samples[:7], 6, sizes) is None


def test_time_scales_become_rounds():
    evolution = Loop(steps=61).encoder.evolution
    found = rules(evolution.config, evolution.sizes)
    assert (found.rounds, found.slow_every, found.depth, found.capacity) == (16, 2, 2, 4)
    assert (found.temperature(0), found.temperature(61)) == (0.5, pytest.approx(0.01))


def test_owners_are_not_owned_by_what_they_own_and_the_archive_holds_no_tensors():
    loop = Loop().train(40)
    assert loop.encoder.evolution.genomes
    cycles, _ = _walked(loop.encoder)
    assert cycles == []
    evolution = loop.encoder.evolution
    for owned in (evolution.archive, evolution.genomes, evolution.censuses, evolution.history):
        _, reached = _walked(owned)
        assert not [type(each) for each in reached if isinstance(each, torch.Tensor | torch.nn.Module)]
    _, reached = _walked(evolution.genomes)
    assert [each for each in reached if isinstance(each, Genome)]
    _, reached = _walked([layer.pseudopods for layer in loop.encoder.layers])
    assert evolution not in reached


def test_a_cycle_would_be_found():
    owner, owned = types.SimpleNamespace(), types.SimpleNamespace()
    owner.owned, owned.owner = [owned], owner
    assert len(_walked(owner)[0]) == 1


def _walked(root):
    """Return the cycles of an object graph, and all that is reached; of other libraries' objects only containers."""
    cycles, reached, path = [], {}, []

    def walk(each):
        if id(each) in {id(before) for before in path}:
            cycles.append([type(before).__name__ for before in (*path, each)])
            return
        if id(each) in reached:
            return
        reached[id(each)] = each
        path.append(each)
        for inner in _held(each):
            walk(inner)
        path.pop()

    walk(root)
    return cycles, list(reached.values())


def _held(each):
    if isinstance(each, dict):
        return list(each.values())
    if isinstance(each, list | tuple):
        return list(each)
    ours = type(each).__module__.split(".")[0] in ("organisms", "qd", "types")
    if not (ours or isinstance(each, torch.nn.Module | torch.optim.Optimizer)):
        return []
    slots = [name for kind in type(each).__mro__ for name in getattr(kind, "__slots__", ())]
    return [*vars(each).values()] if hasattr(each, "__dict__") else [getattr(each, name) for name in slots]
