"""Audits: a share of the orders is done again, and whoever gives other results for equal input is named."""

import sys

import pytest

from archive_store.reading import open_run
from qd.seeding import happens, uniform
from runs.errors import RunError
from runs.launch import launch
from tests.fixtures.small_runs import digests, small

IMPURE = """
import time

def haste(organism, inputs, targets):
    \"\"\"Reads the clock, a little of it.\"\"\"
    living = [occupant for _, occupant in organism.pool.alive()]
    now = time.perf_counter() % 1e-3
    return [dict(occupant.genes)["temperature"] + now for occupant in living]


def hasty(parents, vary, config):
    return vary.gaussian(parents[0], 0.01 + time.perf_counter() % 1e-3, 0.0)
"""
MEASURES = (
    "measures=[attention_span,impure_module_of_a_user:haste,gradient_flow,access_locality,compute_intensity]"
)


@pytest.fixture
def impure(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "impure_module_of_a_user.py").write_text(IMPURE)
    yield
    sys.modules.pop("impure_module_of_a_user", None)


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_an_audited_run_has_the_same_digest(share, undisturbed, tmp_path):
    run = launch(small(f"execution.audit={share}"), tmp_path / "run")
    assert digests(run) == digests(undisturbed)


@pytest.mark.long
def test_the_orders_to_be_audited_are_chosen_by_a_named_draw(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr("runs.trainer.JOBS", {**jobs(), "audit": lambda *arguments: note(done, *arguments)})
    launch(small("execution.audit=0.3"), tmp_path / "run")
    chosen = [
        (round, organism)
        for round in range(1, 5)
        for organism in range(3)
        if happens(0.3, uniform(0, round, f"audit:{organism}"))
    ]
    assert sorted(done) == chosen
    assert 0 < len(chosen) < 12


def jobs():
    from runs.trainer import JOBS

    return dict(JOBS)


def note(done, world, state, order, *rest):
    from runs.trainer import advance

    done.append((order.round, order.organism))
    return advance(world, state, order, *rest)


def test_chunks_of_emitters_are_audited_too(tmp_path, monkeypatch):
    done = []

    def noted(world, order, *rest):
        done.append((order.round, order.chunk))
        return jobs()["emit"](world, order, *rest)

    monkeypatch.setattr("runs.trainer.JOBS", {**jobs(), "audit emit": noted})
    run = launch(small("execution.audit=0.4"), tmp_path / "run")
    emitted = [(row.round, row.chunk) for row in open_run(run).emitters().itertuples()]
    chosen = [key for key in emitted if happens(0.4, uniform(0, key[0], f"audit:chunk {key[1]}"))]
    assert sorted(done) == chosen
    assert 0 < len(chosen) < len(emitted)


@pytest.mark.long
def test_an_emitter_that_reads_the_clock_is_caught_and_named(impure, tmp_path):
    with pytest.raises(RunError, match=r"chunk \d of round \d came out differently the second time; a task"):
        launch(
            small("execution.audit=1.0", "emitters.kinds=[impure_module_of_a_user:hasty]"), tmp_path / "run"
        )


def test_a_measure_that_reads_the_clock_is_caught_and_named(impure, tmp_path):
    told = (
        r"round \d of organism \d came out differently on a second worker: states [0-9a-f]{64} and [0-9a-f]{64}, "
        r"first in records\[0\]\.measures\[1\] \(impure_module_of_a_user:haste\); a task, family or measure"
    )
    with pytest.raises(RunError, match=told):
        launch(small("execution.audit=1.0", MEASURES), tmp_path / "run")


def test_without_an_audit_nobody_notices(impure, tmp_path):
    launch(small(MEASURES), tmp_path / "run")
