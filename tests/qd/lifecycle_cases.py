"""Made-up organisms and archives for decisions about births and deaths."""

import numpy as np

from qd.lifecycle.annealing import linear
from qd.lifecycle.decide import decide
from qd.lifecycle.rules import Rules
from qd.measures import Ranges
from qd.records import Candidate, Census, ComponentId, Record
from qd.view import View

CELLS = 12
NEIGHBOURS = np.array([[(cell + step) % CELLS for step in (-2, -1, 1, 2)] for cell in range(CELLS)])
RANGES = Ranges((0.0,) * 5, (1.0,) * 5)
RULES = Rules(
    seed=5,
    rounds=100,
    steps_per_round=10,
    enabled=True,
    arm="archive",
    depth=2,
    capacity=6,
    initial=3,
    temperature=linear(0.5, 0.01, 1000),
    start_temperature=0.5,
    warmup=0.1,
    gentle=0.25,
    quiet=0.2,
    births_per_round=1,
    candidates=3,
    exploration=0.2,
    room=False,
    slow_every=10,
    min_alive=2,
    min_age=3,
    floor=0.0,
    neighbours=3,
    loss_ratio=10.0,
    budget_bytes=None,
    sigma=0.2,
    line_share=0.4,
    tau=0.2,
    window=5,
)
CULL = 40  # a round of the full phase in which deaths are considered


def record(slot, ablation=0.1, organism=0, age=9, bytes=100.0, place=0.5, depth=None, born=1):
    identity = ComponentId(organism, born, slot)
    return Record(
        component=identity,
        parents=(),
        lineage=ComponentId(organism, 0, slot),
        genes=(("rank", 2.0),),
        depth=slot // RULES.capacity if depth is None else depth,
        genome=f"genome {slot}",
        age=age,
        measures=(place,) * 5,
        assay=0.1,
        assay_lower=0.05,
        ablation=ablation,
        gradient=1.0,
        flops=1e3,
        bytes=bytes,
    )


def census(
    records,
    loss=1.0,
    ema=1.0,
    first=2.0,
    round=CULL - 1,
    validation=1.0,
    organism=0,
    quarantine=None,
    memory=None,
):
    return Census(
        organism=organism,
        round=round,
        step=10 * round,
        loss=loss,
        loss_ema=ema,
        first_loss=first,
        probe_loss=1.0,
        validation_loss=validation,
        validation_score=0.5,
        test_loss=None,
        test_score=None,
        state="s",
        records=tuple(records),
        quarantine=quarantine,
        memory=memory,
    )


def elite(cell, objective, depth=0):
    return Candidate(
        component=ComponentId(8, 3, cell),
        parents=(),
        lineage=ComponentId(8, 0, cell),
        depth=depth,
        genes=(("rank", 2.0),),
        genome=f"elite {cell}",
        round=4,
        behaviour=(cell / CELLS,) * 5,
        out_of_range=(False,) * 5,
        objective=objective,
    )


def view(objectives, depths=()):
    cells = tuple(sorted(objectives))
    return View(cells, tuple(elite(c, objectives[c], 1 if c in depths else 0) for c in cells), CELLS)


WHOLE = view({cell: 0.1 + cell / 20 for cell in range(CELLS)}, depths=range(1, CELLS, 2))
EMPTY = view({})


def decided(records, round=CULL, sight=WHOLE, rules=RULES, past=(), starved=False, **fields):
    censuses = [*past, census(records, round=round - 1, **fields)]
    return decide(rules, round, censuses, sight, NEIGHBOURS, RANGES, starved)


def pool(*sizes):
    """Records that fill the first slots of each layer, fitter in higher slots."""
    slots = [layer * RULES.capacity + slot for layer, size in enumerate(sizes) for slot in range(size)]
    return [record(slot, ablation=0.01 + slot / 10) for slot in slots]


def happening(events):
    return [event for event in events if event.happens]
