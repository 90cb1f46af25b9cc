import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import binomtest

from qd.chemotaxis import rule
from qd.lifecycle.decide import behaviour_hash
from qd.records import ComponentId, Proposal
from qd.seeding import happens, uniform
from tests.qd.lifecycle_cases import (
    CELLS,
    CULL,
    EMPTY,
    NEIGHBOURS,
    RULES,
    WHOLE,
    decided,
    elite,
    happening,
    pool,
    record,
    view,
)

OWN = np.full((3, 5), 0.5)  # where `pool` puts an organism's components


class TestBirths:
    def births(self, records=None, sight=WHOLE, round=CULL, **changes):
        rules = replace(RULES, min_alive=6, **changes)
        return decided(pool(3, 3) if records is None else records, round, sight, rules).births

    def many(self, count=300, records=None, sight=WHOLE, **changes):
        """Births of as many organisms."""
        found = []
        for organism in range(count):
            records_ = [
                replace(r, component=ComponentId(organism, 1, r.component.slot))
                for r in records or pool(3, 3)
            ]
            rules = replace(RULES, min_alive=6, **changes)
            found += decided(records_, sight=sight, rules=rules, organism=organism).births
        return found

    def test_probability_and_draw_are_those_of_the_formula(self):
        found = self.many()
        assert len(found) == 300
        for birth in found:
            short = WHOLE.median_objective - birth.objective
            expected = 1.0 if short <= 0 else math.exp(-short / RULES.temperature(390))
            assert birth.threshold == WHOLE.median_objective
            assert birth.probability == pytest.approx(expected)
            assert birth.draw == uniform(5, CULL, birth.context)
            assert birth.happens == happens(birth.probability, birth.draw)
            drawn = [WHOLE.elites[proposal.parents[0].slot] for proposal in birth.proposals]
            assert birth.objective == pytest.approx(sum(elite.objective for elite in drawn) / 3)
            assert birth.context.split(":")[2:] == ["3", behaviour_hash(drawn)]
            assert birth.exploration == pytest.approx(0.2 * RULES.temperature(390) / 0.5)
            assert birth.exploration_draw == uniform(5, CULL, f"other:{birth.context}")
            assert birth.tried
        assert 0 < len(happening(found)) < 300

    def test_a_context_names_the_organism_and_the_slot(self):
        (birth,) = decided(pool(3, 3), organism=7, rules=replace(RULES, min_alive=6)).births
        assert birth.context.startswith("birth:7:3:")

    def test_behaviour_hashes_tell_places_apart(self):
        hashes = {behaviour_hash([elite(cell, 0.5)]) for cell in range(CELLS)}
        assert len(hashes) == CELLS
        assert all(len(name) == 16 and int(name, 16) >= 0 for name in hashes)
        assert behaviour_hash([elite(3, 0.1)]) == behaviour_hash([elite(3, 0.9)])
        assert behaviour_hash([elite(3, 0.1), elite(4, 0.1)]) not in hashes

    def test_parents_are_elites_of_the_newborns_layer(self):
        for sizes, layer in (((3, 5), 0), ((5, 3), 1)):
            for birth in self.many(40, pool(*sizes)):
                assert birth.slot // RULES.capacity == layer
                for proposal in birth.proposals:
                    assert all(parent.slot % 2 == layer for parent in proposal.parents)
                    assert proposal.genomes == tuple(f"elite {parent.slot}" for parent in proposal.parents)

    def test_the_emptiest_layer_gets_the_newborn_and_the_first_among_equals(self):
        assert self.births(pool(3, 3))[0].slot == 3
        assert self.births(pool(4, 3))[0].slot == 9
        assert self.births([record(0), record(2), record(6), record(7)])[0].slot == 1

    def test_several_births_take_several_slots(self):
        slots = [birth.slot for birth in self.births(pool(5, 4), births_per_round=5)]
        assert slots == [10, 5, 11]
        assert self.births(births_per_round=0) == ()

    def test_a_full_pool_has_no_room(self):
        assert self.births(pool(6, 6)) == ()

    def test_from_an_empty_archive_nothing_is_born(self):
        assert self.births(sight=EMPTY) == ()

    def test_without_elites_of_its_layer_nothing_is_born(self):
        only_second = view({1: 0.5, 3: 0.6}, depths=(1, 3))
        assert self.births(pool(3, 5), sight=only_second) == ()
        assert self.births(pool(5, 3), sight=only_second)

    def test_noise_cools_with_the_temperature(self):
        (early,), (late,) = self.births(round=30), self.births(round=90)
        assert early.sigma == pytest.approx(0.2 * RULES.temperature(290) / 0.5)
        assert late.sigma == pytest.approx(0.2 * RULES.temperature(890) / 0.5)

    @pytest.mark.long
    def test_first_parents_come_at_the_rate_of_chemotaxis(self):
        found = self.many(600, line_share=0.0)
        chances = rule.probabilities(WHOLE, NEIGHBOURS, 1.0, 0.2, 0, OWN)
        for cell, chance in zip(WHOLE.cells, chances, strict=True):
            count = sum(birth.parents[0].slot == cell for birth in found)
            assert binomtest(count, 600, float(chance)).pvalue > 1e-4 if chance else count == 0

    @pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
    def test_lines_come_at_their_share_unless_both_parents_are_one(self, share):
        found = self.many(200, line_share=share, candidates=1)
        lines = [birth for birth in found if birth.operator == "line"]
        chances = rule.probabilities(WHOLE, NEIGHBOURS, 1.0, 0.2, 0, OWN)
        expected = share * (1 - (chances**2).sum())
        assert binomtest(len(lines), 200, float(expected)).pvalue > 1e-4 if share else lines == []
        for birth in lines:
            assert len(set(birth.parents)) == 2
            assert birth.lineage == ComponentId(8, 0, birth.parents[0].slot)
        assert all(len(birth.parents) == 1 for birth in found if birth.operator != "line")

    def test_candidates_are_different_and_of_different_regions_while_there_are_any(self):
        for birth in self.many(60, line_share=0.0):
            cells = [proposal.parents[0].slot for proposal in birth.proposals]
            assert len(set(cells)) == len(cells) == 3
            for one, other in combinations(cells, 2):  # of six even cells on a line, three are no neighbours
                assert other not in NEIGHBOURS[one] or cells.index(other) == 2

    @pytest.mark.parametrize(("candidates", "found"), [(1, 1), (6, 6), (9, 6)])
    def test_there_are_as_many_as_the_layer_has_elites_at_most(self, candidates, found):
        (birth,) = self.births(candidates=candidates)
        assert len(birth.proposals) == found

    def test_elites_far_from_the_organisms_own_attract_more(self):
        alone = [record(slot, place=0.0) for slot in (0, 1, 2)] + [record(slot) for slot in (6, 7, 8)]
        near = self.many(300, alone, line_share=0.0, candidates=1, tau=0.05)
        cells = [birth.parents[0].slot for birth in near]
        assert sum(cells) / len(cells) > 8  # of 0, 2, ... 10; the organism's own lie at 0


class TestArms:
    def births(self, arm, records=None):
        found = []
        for seed in range(30):
            rules = replace(RULES, arm=arm, seed=seed, min_alive=6)
            found += decided(records or pool(3, 3), rules=rules).births
        return found

    def test_nothing_is_born_in_the_arm_none(self):
        assert self.births("none") == []

    def test_the_arm_none_has_the_same_deaths(self):
        arms = [decided(pool(5, 5), rules=replace(RULES, arm=arm)).deaths for arm in ("archive", "none")]
        assert arms[0] == arms[1] != ()

    def test_archive_takes_genomes_and_lineage_from_elites(self):
        for birth in self.births("archive"):
            for proposal in birth.proposals:
                assert proposal.operator in ("gaussian", "line")
                assert proposal.lineage == ComponentId(8, 0, proposal.parents[0].slot)
                assert proposal.genomes[0] == f"elite {proposal.parents[0].slot}"

    def test_random_takes_nothing_and_starts_a_line(self):
        for birth in self.births("random"):
            assert set(birth.proposals) == {Proposal("random", (), (), None)}

    def test_genes_takes_one_genome_and_starts_a_line(self):
        for birth in self.births("genes"):
            for proposal in birth.proposals:
                assert (proposal.operator, proposal.lineage) == ("genes", None)
                assert proposal.genomes == (f"elite {proposal.parents[0].slot}",)

    def test_clone_copies_its_own_of_the_layer_the_fittest_first(self):
        records = [
            record(s, a) for s, a in ((0, 0.1), (1, 0.5), (2, 0.5), (6, 9.0), (7, 9.0), (8, 9.0), (9, 9.0))
        ]
        for birth in self.births("clone", records):
            assert birth.slot == 3
            assert birth.proposals == tuple(  # of two that are equal, the younger name comes first
                Proposal("clone", (ComponentId(0, 1, slot),), (), ComponentId(0, 0, slot))
                for slot in (2, 1, 0)
            )

    def test_a_clone_is_never_of_one_that_dies_in_the_same_cull(self):
        rules = replace(RULES, arm="clone", depth=1, min_alive=1, budget_bytes=1.0)
        decision = decided([record(0, 0.5), record(1, 0.2)], rules=rules)
        assert [death.component.slot for death in happening(decision.deaths)] == [1]
        copied = {proposal.parents for proposal in decision.births[0].proposals}
        assert copied == {(ComponentId(0, 1, 0),)}

    def test_all_arms_draw_the_same_chance_at_the_same_time(self):
        """So that they differ in the material of a newborn alone."""
        arms = [self.births(arm) for arm in ("archive", "random", "genes", "clone")]
        for same in zip(*arms, strict=True):
            for name in (
                "slot",
                "objective",
                "threshold",
                "sigma",
                "probability",
                "draw",
                "context",
                "happens",
                "exploration",
                "exploration_draw",
            ):
                assert len({getattr(birth, name) for birth in same}) == 1
            assert {len(birth.proposals) for birth in same} == {3}
        assert [birth.arm for birth in (arm[0] for arm in arms)] == ["archive", "random", "genes", "clone"]
