"""What every family's look at the probe split has to be."""

from functools import cache

import numpy as np
import pytest
import torch

from organisms.families import FAMILIES
from organisms.species import PROPERTIES
from tests.fixtures import naive_interface
from tests.fixtures.small_worlds import DEFINED
from tests.organisms import alike, cases
from tests.organisms.cases import CASES, Case, defined_losses, gates_of, losses, rewrite, tensors_of

seen = cache(cases.probed)  # nobody may change what it gives


@pytest.mark.parametrize("case", CASES, ids=str)
class TestAgainstTheDefinition:
    def test_loss_and_slots(self, case):
        _, organism, inputs, targets, probe = seen(case)
        assert probe.slots == case.slots
        assert probe.loss == pytest.approx(defined_losses(organism, inputs, targets).mean().item(), rel=1e-5)

    def test_ablations_are_what_gating_off_and_a_death_do(self, case):
        _, organism, inputs, targets, probe = seen(case)
        before = defined_losses(organism, inputs, targets).mean()
        for slot, found in zip(probe.slots, probe.ablations.tolist(), strict=True):
            gates, bereft = gates_of(organism, slot, 0), case.organism()
            bereft.pool.retire(slot)
            without = (
                defined_losses(organism, inputs, targets, gates).mean() - before,
                losses(organism, inputs, targets, gates.float()).mean() - probe.loss,
                losses(bereft, inputs, targets).mean() - probe.loss,
            )
            assert [found] * 3 == pytest.approx([one.item() for one in without], abs=2e-5)
            assert abs(found) > 1e-4  # a death matters here, so that a wrong answer would be seen

    def test_properties_are_those_of_what_each_part_of_a_layer_writes(self, case):
        _, organism, inputs, _, probe = seen(case)
        definition, parts = DEFINED[case.family].definition, naive_interface.parts(organism)
        wrote = {
            slot: torch.stack([definition.wrote(organism, parts, slot, one) for one in inputs])
            for slot in parts
        }
        for place, slot in enumerate(probe.slots):
            others = [
                wrote[each] for each in parts if each != slot and parts[each].layer == parts[slot].layer
            ]
            expected = {
                "effective_rank": alike.effective_rank(wrote[slot]),
                "coherence": alike.coherence(wrote[slot], others),
                "correlation": alike.correlation(wrote[slot], others),
            }
            found = {name: probe.properties[name][place].item() for name in PROPERTIES}
            assert found == pytest.approx(expected, rel=1e-3, abs=5e-4)


@pytest.mark.parametrize("family", FAMILIES)
class TestEveryFamily:
    def test_looking_leaves_no_trace_and_gives_the_same_bits_again(self, family):
        species, organism, inputs, targets, probe = seen(Case(family))
        before = tensors_of(organism)
        again = species.probe(organism, inputs, targets)
        assert all(torch.equal(tensor, before[name]) for name, tensor in organism.pool.tensors().items())
        assert not any(tensor.requires_grad for tensor in organism.pool.tensors().values())
        assert again.loss == probe.loss
        assert probe.ablations.dtype == torch.float64
        assert not probe.ablations.requires_grad
        assert torch.equal(again.ablations, probe.ablations)

    @pytest.mark.parametrize("slots", [(), (1,), (0, 2), (4, 6)])
    def test_layers_may_be_empty(self, family, slots):
        _, organism, inputs, targets, probe = seen(Case(family), slots)
        assert probe.slots == slots
        assert probe.ablations.shape == (len(slots),)
        assert probe.routed_tokens is None or probe.routed_tokens.shape == (len(slots), len(inputs))
        assert probe.loss == pytest.approx(losses(organism, inputs, targets).mean().item(), rel=1e-5)
        for slot, found in zip(slots, probe.ablations.tolist(), strict=True):
            without = losses(organism, inputs, targets, gates_of(organism, slot, 0).float()).mean()
            assert found == pytest.approx(without.item() - probe.loss, abs=2e-5)

    def test_only_the_products_of_factors_count(self, family):
        """Any invertible G leaves ``(U G) (G^-1 V)`` as it is."""
        case = Case(family)
        species, _, inputs, targets, probe = seen(case)
        organism, arrays = case.organism(), {}
        genome = organism.pool.genome(2)
        for name, gene in species.ranks.items():
            rank = int(dict(genome.genes)[gene])
            turn = np.random.default_rng(1).normal(size=(rank, rank))
            arrays[f"{name}.U"] = genome.arrays[f"{name}.U"] @ turn
            arrays[f"{name}.V"] = np.linalg.inv(turn) @ genome.arrays[f"{name}.V"]
        rewrite(organism, 2, **arrays)
        again = species.probe(organism, inputs, targets)
        torch.testing.assert_close(again.ablations, probe.ablations, rtol=1e-3, atol=1e-5)
