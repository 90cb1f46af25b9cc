from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from organisms.pool import Factored, Occupant, Pool
from qd.records import ComponentId, Genome

ROWS, COLUMNS, RANK, WIDTH = 5, 3, 4, 2
LAYOUT = (Factored("m", ROWS, COLUMNS, RANK, "rank"), Factored("n", COLUMNS, ROWS, WIDTH, "width"))


def pool(depth=2, capacity=3) -> Pool:
    return Pool("family", LAYOUT, depth, capacity)


def genome(rank=3, width=1, depth=0, seed=0) -> Genome:
    rng = np.random.default_rng(seed)
    shapes = {"m.U": (ROWS, rank), "m.V": (rank, COLUMNS), "n.U": (COLUMNS, width), "n.V": (width, ROWS)}
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return Genome("family", depth, (("rank", float(rank)), ("width", float(width))), arrays)


def occupant(slot=0) -> Occupant:
    identity = ComponentId(7, 2, slot)
    return Occupant(identity, (ComponentId(1, 0, 0),), identity, (("rank", 99.0),))


def scribbled(chosen: Pool) -> Pool:
    """A pool whose optimizer history is nowhere zero."""
    for name, tensor in chosen.tensors().items():
        if not name.startswith("stacks."):
            tensor += 1.5
    return chosen


@given(st.integers(1, RANK), st.integers(1, WIDTH), st.integers(0, 5), st.integers(0, 99))
@settings(deadline=None)
def test_a_genome_comes_out_as_it_went_in_bit_for_bit(rank, width, slot, seed):
    chosen, given_ = pool(), genome(rank, width, slot // 3, seed)
    chosen.graft(slot, given_, occupant(slot))
    found = chosen.genome(slot)
    assert (found.family, found.depth, found.genes) == ("family", slot // 3, given_.genes)
    assert {n: (a.dtype, a.shape, a.tobytes()) for n, a in found.arrays.items()} == {
        n: (a.dtype, a.shape, a.tobytes()) for n, a in given_.arrays.items()
    }


def test_what_comes_out_is_a_copy():
    chosen = pool()
    chosen.graft(1, genome(), occupant())
    chosen.genome(1).arrays["m.U"][...] = 9
    assert chosen.genome(1).arrays["m.U"].tobytes() == genome().arrays["m.U"].tobytes()


def test_a_graft_pads_with_zeros_and_touches_no_other_slot():
    chosen = scribbled(pool())
    chosen.graft(0, genome(seed=1), occupant(0))
    before = {name: tensor.clone() for name, tensor in chosen.tensors().items()}
    chosen.graft(2, genome(rank=3, width=1, seed=2), occupant(2))
    for name, tensor in chosen.tensors().items():
        others = [slot for slot in range(6) if slot != 2]
        assert torch.equal(tensor[others], before[name][others])
    assert not chosen.stacks["m.U"][2, :, 3:].any()
    assert not chosen.stacks["m.V"][2, 3:].any()
    assert not chosen.stacks["n.U"][2, :, 1:].any()
    assert not chosen.stacks["n.V"][2, 1:].any()


def test_a_graft_has_a_fresh_optimizer_history():
    chosen = scribbled(pool())
    chosen.graft(4, genome(depth=1), occupant(4))
    assert not any(tensor[4].any() for name, tensor in chosen.tensors().items() if "stacks" not in name)
    assert chosen.counts[3].item() == 1.5


def test_the_occupant_has_the_genomes_genes():
    chosen = pool()
    chosen.graft(1, genome(), occupant(1))
    assert chosen.occupants[1] == replace(occupant(1), genes=genome().genes)
    assert chosen.occupants[1].gene("rank") == 3.0


def test_retiring_clears_the_slot_and_its_optimizer_history():
    chosen = pool()
    chosen.graft(0, genome(), occupant(0))
    chosen.graft(1, genome(seed=1), occupant(1))
    scribbled(chosen)
    chosen.retire(0)
    assert not any(tensor[0].any() for tensor in chosen.tensors().values())
    assert all(tensor[1].any() for tensor in chosen.tensors().values())
    assert [slot for slot, _ in chosen.alive()] == [1]
    chosen.graft(0, genome(), occupant(0))
    assert chosen.genome(0).arrays["m.U"].tobytes() == genome().arrays["m.U"].tobytes()


def test_slots_lie_in_layers_one_after_the_other():
    chosen = pool(depth=2, capacity=3)
    assert chosen.size == 6
    assert [chosen.layer(slot) for slot in range(6)] == [0, 0, 0, 1, 1, 1]
    chosen.graft(4, genome(depth=1), occupant(4))
    first, second = chosen.layers("m.U")
    assert first.shape == second.shape == (3, ROWS, RANK)
    assert torch.equal(second[1], chosen.stacks["m.U"][4])
    assert not first.any()


def test_alive_gives_slots_in_order():
    chosen = pool()
    for slot in (5, 0, 3):
        chosen.graft(slot, genome(depth=slot // 3), occupant(slot))
    assert [(slot, living.component.slot) for slot, living in chosen.alive()] == [(0, 0), (3, 3), (5, 5)]


def test_a_layer_knows_who_lives_in_it_and_with_what_genes():
    chosen = pool()
    for slot in (1, 5, 3):
        chosen.graft(slot, genome(rank=slot // 2 + 1, depth=slot // 3), occupant(slot))
    assert (chosen.living(0), chosen.living(1)) == ([1], [0, 2])
    assert chosen.genes(0) == [{}, {"rank": 1.0, "width": 1.0}, {}]
    assert [gene.get("rank") for gene in chosen.genes(1)] == [2.0, None, 3.0]


def test_what_was_stored_can_be_loaded():
    chosen = pool()
    chosen.graft(0, genome(), occupant(0))
    scribbled(chosen)
    other = pool()
    other.load(chosen.tensors(), chosen.occupants)
    assert other.occupants == chosen.occupants
    for name, tensor in chosen.tensors().items():
        assert torch.equal(other.tensors()[name], tensor)
    chosen.retire(0)  # the other has memory and occupants of its own
    assert other.genome(0).arrays["m.U"].any()


def test_a_taken_slot_is_refused():
    chosen = pool()
    chosen.graft(0, genome(), occupant(0))
    with pytest.raises(ValueError, match=r"slot 0 is taken by .*retire it before a graft"):
        chosen.graft(0, genome(), occupant(0))


@pytest.mark.parametrize(
    ("changed", "slot"), [({"family": "towers"}, 0), ({"depth": 1}, 0), ({"depth": 0}, 3)]
)
def test_a_genome_of_another_family_or_layer_is_refused(changed, slot):
    chosen = pool()
    with pytest.raises(ValueError, match=rf"cannot be born in slot {slot} of family, layer {slot // 3}"):
        chosen.graft(slot, replace(genome(), **changed), occupant())
    assert list(chosen.alive()) == []


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("m.U", (ROWS, RANK + 1)),
        ("n.V", (1, ROWS + 1)),
        ("m.V", (RANK,)),
        ("m.U", (ROWS, 2)),  # its gene says 3
        ("m.U", ()),
    ],
)
def test_an_array_that_does_not_fit_is_refused_and_nothing_is_written(name, shape):
    chosen, given_ = pool(), genome()
    large = replace(given_, arrays=dict(given_.arrays) | {name: np.ones(shape, np.float32)})
    with pytest.raises(ValueError, match=rf"{name} of shape \(.*\) does not fit a slot of \("):
        chosen.graft(0, large, occupant())
    assert not any(tensor.any() for tensor in chosen.tensors().values())
    assert list(chosen.alive()) == []


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"arrays": {}}, r"a genome has \['m.U', 'm.V', 'n.U', 'n.V'\]; found \[\]"),
        ({"arrays": dict(genome().arrays) | {"o": np.ones(1)}}, r"a genome has .*; found .*'o'\]"),
        (
            {"arrays": {n: a.astype(np.float64) for n, a in genome().arrays.items()}},
            "must be float32, not float64",
        ),
        ({"genes": ()}, r"m.U of shape \(.*, 3\) does not fit .* the genes say \(.*, 0\)"),
        ({"genes": (("rank", 3.0), ("width", float("nan")))}, r"n.U .* the genes say \(.*, nan\)"),
        ({"family": "towers"}, "a genome of towers does not fit a pool of family"),
    ],
)
def test_a_genome_of_other_names_types_or_genes_is_refused(changed, message):
    chosen = pool()
    chosen.check(genome())
    with pytest.raises(ValueError, match=message):
        chosen.check(replace(genome(), **changed))


def test_an_empty_slot_has_no_genome_and_cannot_be_retired():
    chosen = pool()
    chosen.graft(2, genome(), occupant(2))
    for act in (chosen.genome, chosen.retire):
        with pytest.raises(ValueError, match=r"slot 1 is empty; living slots: \[2\]"):
            act(1)


def test_a_state_of_another_shape_is_refused_and_nothing_is_loaded():
    chosen, tensors = pool(), pool().tensors()
    tensors = {name: tensor + 1 for name, tensor in tensors.items()}
    with pytest.raises(ValueError, match=r"state tensor 'second.n.V' must be \(6, 2, 5\); found nothing"):
        chosen.load({name: t for name, t in tensors.items() if name != "second.n.V"}, [None] * 6)
    with pytest.raises(ValueError, match=r"state tensor 'counts' must be \(6,\); found \(5,\)"):
        chosen.load(tensors | {"counts": torch.zeros(5)}, [None] * 6)
    with pytest.raises(ValueError, match=r"a state has no tensor 'more'; known are counts, stacks.m.U"):
        chosen.load(tensors | {"more": torch.zeros(6)}, [None] * 6)
    with pytest.raises(ValueError, match=r"'counts' must be torch.float32; found torch.float64"):
        chosen.load(tensors | {"counts": torch.zeros(6, dtype=torch.float64)}, [None] * 6)
    with pytest.raises(ValueError, match=r"a state of 6 slots needs as many occupants; found 5"):
        chosen.load(tensors, [None] * 5)
    assert not any(tensor.any() for tensor in chosen.tensors().values())


def test_the_context_of_a_component_is_the_slots_of_its_layer():
    full = pool(depth=2, capacity=3)
    for slot in (0, 2, 3, 5):
        full.graft(slot, genome(depth=slot // 3), occupant(slot))
    context = full.extract_component_context(ComponentId(7, 2, 2))
    assert (context.items, context.extract()) == ((0, 2), 2)
    assert full.extract_component_context(ComponentId(7, 2, 3)).items == (3, 5)
    assert context.k_nearest(9) == (0,)
    with pytest.raises(ValueError, match=r"component 7\.2\.1 is in no slot; living components: 7\.2\.0, 7"):
        full.extract_component_context(ComponentId(7, 2, 1))
