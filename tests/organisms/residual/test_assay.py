"""What every family's assay has to be."""

import math
from functools import cache

import numpy as np
import pytest
import torch

from organisms.families import FAMILIES
from organisms.nn import example_losses
from qd.measures import MEASURES
from qd.seeding import generator
from tests.organisms import alike
from tests.organisms.cases import CASES, Case, rewrite, tensors_of
from tests.organisms.hosted import grafted, settled, told

FREE = (  # measures that any residual family takes alike
    *("gradient_flow", "effective_rank", "write_strength", "write_likeness", "write_constancy"),
    *("coherence", "correlation", "projection_3"),
    *("served_share", "effect_evenness", "effect_curvature", "effect_depth"),
)


@cache
def described(case):
    """The settled organisms, their assay, and what each guest is to each host by definition; not to be changed."""
    at = settled(case)
    rows = [[told(case, at, host, genome) for host in at.hosts] for genome in at.genomes()]
    return at, at.species.assay(at.guest, at.frozen, FREE), rows


# A tower that hears others also passes on what they say.
@pytest.mark.parametrize("case", [case for case in CASES if case.variant != "messages"], ids=str)
def test_outputs_are_what_scales_all_that_a_component_writes(case):
    at = settled(case)
    slots = at.guest.pool.living(0)
    stream = at.guest.stream(at.inputs)
    normed = torch.randn(stream.shape, generator=torch.Generator().manual_seed(3))

    def written(host):
        residents = host.residents(0, normed)
        guests = host.joined(residents, at.guest.guests(0, normed, slots))
        return torch.stack(list(host.written(residents, guests).dense()))

    before = [written(host) for host in at.hosts]
    for slot in slots:
        arrays = at.guest.pool.genome(slot).arrays
        rewrite(at.guest, slot, **{name: 0.25 * arrays[name] for name in at.species.outputs})
    for host, was in zip(at.hosts, before, strict=True):
        torch.testing.assert_close(written(host), 0.25 * was, rtol=1e-6, atol=1e-7)


def over_hosts(rows, one):
    return [float(np.mean([one(each) for each in row])) for row in rows]


def share(part, rest):
    part, rest = part.abs().sum().item(), rest.abs().sum().item()
    return part / (part + rest) if part + rest else 0.0


def cosine(y, other):
    size = y.norm().item() * other.norm().item()
    return (y * other).sum().item() / size if size else 0.0


def constancy(y):
    power = (y**2).sum((1, 2)).mean().item()
    return (y.mean(0) ** 2).sum().item() / power if power else 0.0


def projected(y, number):
    """The mean of what is written, along a direction that the number alone decides."""
    name = f"projection_{number} of {y.shape[1]} x {y.shape[2]}"
    direction = torch.from_numpy(generator(0, 0, name).standard_normal(y.shape[1:]))
    power = (y**2).sum((1, 2)).mean().item()
    return (y.double().mean(0) * direction).sum().item() / math.sqrt(power) if power else 0.0


def evenness(d):
    return (d.abs().sqrt().mean() ** 2 / d.abs().mean()).item() if d.any() else 0.0


def size_of_gradient(each):
    return each.first.abs().sqrt().mean().square().item()


@pytest.mark.parametrize("case", CASES, ids=str)
class TestAgainstTheDefinition:
    def test_drops_are_what_grafting_and_running_the_whole_host_gives(self, case):
        at, assay, rows = described(case)
        assert assay.drops.dtype == torch.float64
        assert assay.drops.shape == (len(case.slots), len(at.inputs))
        expected = torch.stack([torch.stack([each.drops for each in row]).mean(0) for row in rows])
        torch.testing.assert_close(assay.drops, expected, rtol=1e-4, atol=5e-5)
        assert (assay.drops.abs().amax(1) > 1e-2).all()  # grafts matter, so that a wrong answer would be seen

    def test_gradients_are_finite_differences_along_the_change_of_the_stream(self, case):
        _, assay, rows = described(case)
        assert assay.gradients.tolist() == pytest.approx(
            over_hosts(rows, size_of_gradient), rel=1e-3, abs=1e-6
        )
        flows = over_hosts(rows, lambda each: math.log10(max(size_of_gradient(each), 1e-12)))
        assert assay.measures["gradient_flow"].tolist() == pytest.approx(flows, abs=1e-3)

    @pytest.mark.parametrize(
        ("name", "one"),
        [
            ("effective_rank", lambda each: alike.effective_rank(each.wrote)),
            ("coherence", lambda each: alike.coherence(each.wrote, each.residents)),
            ("correlation", lambda each: alike.correlation(each.wrote, each.residents)),
            ("write_likeness", lambda each: cosine(each.wrote, each.others)),
            ("write_constancy", lambda each: constancy(each.wrote)),
            ("projection_3", lambda each: projected(each.wrote, 3)),
            ("effect_evenness", lambda each: evenness(each.drops)),
            ("effect_curvature", lambda each: share(each.drops - each.first, each.first)),
            ("effect_depth", lambda each: share(each.drops - each.direct, each.direct)),
        ],
    )
    def test_measures_of_effects_and_of_what_is_written(self, case, name, one):
        _, assay, rows = described(case)
        assert assay.measures[name].tolist() == pytest.approx(over_hosts(rows, one), rel=1e-3, abs=5e-4)

    def test_the_strength_and_the_share_that_is_served(self, case):
        _, assay, rows = described(case)
        strength = over_hosts(
            rows, lambda each: math.log10(max(each.wrote.norm() / each.stream.norm(), 1e-12))
        )
        assert assay.measures["write_strength"].tolist() == pytest.approx(strength, abs=1e-4)
        least, most = (
            over_hosts(rows, lambda each, close=close: (each.drops > close).double().mean().item())
            for close in (1e-5, -1e-5)
        )
        found = assay.measures["served_share"].tolist()
        assert all(low <= one <= high for low, one, high in zip(least, found, most, strict=True))

    def test_shares_are_shares_and_effects_in_the_last_layer_have_no_depth(self, case):
        at, assay, _ = described(case)
        for name in (
            "served_share",
            "effect_evenness",
            "effect_curvature",
            "effect_depth",
            "write_constancy",
        ):
            assert ((assay.measures[name] >= 0) & (assay.measures[name] <= 1)).all()
        assert (assay.measures["write_likeness"].abs() <= 1).all()
        last = torch.tensor([genome.depth == at.guest.pool.depth - 1 for genome in at.genomes()])
        assert (assay.measures["effect_depth"][last] == 0).all()
        assert (assay.measures["effect_depth"][~last] > 0).all()


@pytest.mark.parametrize("case", [Case(family) for family in FAMILIES], ids=str)
class TestGuestLosses:
    def test_they_are_those_of_the_host_after_the_graft(self, case):
        at, _, rows = described(case)
        for place, host in enumerate(at.frozen):
            losses = at.species.guest_losses(at.guest, host).double()
            expected = torch.stack([host.losses.double() - row[place].drops for row in rows])
            torch.testing.assert_close(losses, expected, rtol=1e-4, atol=5e-5)

    def test_their_gradients_are_those_of_the_organism_that_has_the_guest(self, case):
        at = settled(case)
        host, pool = at.hosts[0], at.guest.pool
        for stack in pool.stacks.values():
            stack.requires_grad_()
        losses = at.species.guest_losses(at.guest, at.species.host(host, at.inputs, at.targets))
        found = [
            torch.autograd.grad(row.sum(), list(pool.stacks.values()), retain_graph=True) for row in losses
        ]
        for (slot, _), gradients in zip(pool.alive(), found, strict=True):
            with grafted(host, pool.genome(slot)) as place:
                stacks = [stack.requires_grad_() for stack in host.pool.stacks.values()]
                outputs = example_losses(host.task, host(at.inputs), at.targets)
                expected = torch.autograd.grad(outputs.sum(), stacks)
                for stack in stacks:
                    stack.requires_grad_(False)
            for one, other in zip(gradients, expected, strict=True):
                torch.testing.assert_close(one[slot], other[place], rtol=1e-3, atol=2e-5)
                assert one[[n for n in range(pool.size) if n != slot]].abs().max() == 0


@pytest.mark.parametrize("family", FAMILIES)
class TestEveryFamily:
    def test_no_host_or_guest_is_changed_and_the_same_bits_come_again(self, family):
        at = settled(Case(family))
        organisms = [at.guest, *at.hosts]
        before = [tensors_of(organism) for organism in organisms]
        ready, names = at.frozen, at.species.measures
        first, again = (at.species.assay(at.guest, ready, names) for _ in range(2))
        assert torch.equal(first.drops, again.drops)
        assert torch.equal(first.gradients, again.gradients)
        assert all(torch.equal(first.measures[name], again.measures[name]) for name in names)
        for organism, tensors in zip(organisms, before, strict=True):
            for name, tensor in organism.pool.tensors().items():
                assert torch.equal(tensor, tensors[name])
                assert not tensor.requires_grad

    def test_it_is_the_mean_over_hosts(self, family):
        at = settled(Case(family))
        ready, names = at.frozen, at.species.measures
        whole, singles = (
            at.species.assay(at.guest, ready, names),
            [at.species.assay(at.guest, [host], names) for host in ready],
        )
        torch.testing.assert_close(whole.drops, torch.stack([one.drops for one in singles]).mean(0))
        torch.testing.assert_close(whole.gradients, torch.stack([one.gradients for one in singles]).mean(0))
        for name in names:
            mean = torch.stack([one.measures[name] for one in singles]).mean(0)
            torch.testing.assert_close(whole.measures[name], mean)

    def test_a_row_is_of_its_component_alone_and_a_layer_without_any_has_none(self, family):
        case = Case(family)
        at = settled(case)
        ready, names = at.frozen, at.species.measures
        whole = at.species.assay(at.guest, ready, names)
        for slots in (*((slot,) for slot in case.slots), (0, 2, 3), (4, 6), ()):
            rows = [case.slots.index(slot) for slot in slots]
            found = at.species.assay(case.organism(slots), ready, names)
            torch.testing.assert_close(found.drops, whole.drops[rows], rtol=1e-4, atol=2e-5)
            for name in names:
                assert found.measures[name].dtype == torch.float64
                torch.testing.assert_close(
                    found.measures[name], whole.measures[name][rows], rtol=1e-3, atol=1e-4
                )

    def test_what_is_wanted_is_computed_and_nothing_else(self, family):
        at = settled(Case(family))
        ready = at.frozen
        whole = at.species.assay(at.guest, ready, at.species.measures)
        for name in at.species.measures:
            alone = at.species.assay(at.guest, ready, (name,), losses=False)
            assert list(alone.measures) == [name]
            assert alone.drops.shape == (len(at.genomes()), 0)
            torch.testing.assert_close(alone.measures[name], whole.measures[name], rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(alone.gradients, whole.gradients)
        assert list(at.species.assay(at.guest, ready).measures) == list(MEASURES)

    def test_measures_are_finite_and_none_is_constant_or_another(self, family):
        case, found = Case(family), []
        for seed in range(4):
            at = settled(case)
            found.append(at.species.assay(case.organism(seed=seed), at.frozen, at.species.measures).measures)
        columns = torch.stack([torch.cat([one[name] for one in found]) for name in at.species.measures])
        assert columns.isfinite().all()
        for name, column in zip(at.species.measures, columns, strict=True):
            least = 2 if name in ("served_share", "effect_depth") else len(column) / 4  # few examples, zeros
            assert len(column.unique()) > least, name
        assert columns.unique(dim=0).shape == columns.shape

    def test_only_the_products_of_factors_count(self, family):
        """Any invertible G leaves ``(U G) (G^-1 V)`` as it is."""
        at = settled(Case(family))
        ready, names = at.frozen, at.species.measures
        before, arrays, genome = at.species.assay(at.guest, ready, names), {}, at.guest.pool.genome(2)
        for name, gene in at.species.ranks.items():
            inner = int(dict(genome.genes)[gene])
            turn = np.random.default_rng(1).normal(size=(inner, inner))
            arrays[f"{name}.U"] = genome.arrays[f"{name}.U"] @ turn
            arrays[f"{name}.V"] = np.linalg.inv(turn) @ genome.arrays[f"{name}.V"]
        rewrite(at.guest, 2, **arrays)
        after = at.species.assay(at.guest, ready, names)
        torch.testing.assert_close(after.drops, before.drops, rtol=1e-3, atol=1e-4)
        for name in names:
            torch.testing.assert_close(after.measures[name], before.measures[name], rtol=5e-3, atol=5e-3)
