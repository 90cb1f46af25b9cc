"""Shadows of births: what else could have been born, and that a run never notices."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from analysis.pictures import draw
from analysis.rendering import NothingToDraw
from archive_store.errors import JournalError
from archive_store.journal.journal import SHADOWED
from archive_store.reading import open_run
from archive_store.run_directory import RunDirectory
from archive_store.verification import verify
from qd.lifecycle.trial import MATERIALS
from runs import trainer
from runs.replay import replay
from runs.training.births.shadows import with_norms
from tests.fixtures.small_runs import copied, digests, launched

BIRTHS = ("rounds=7", "lifecycle.warmup=0.0", "lifecycle.gentle=0.5", "lifecycle.only_gains=false")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return launched(tmp_path_factory.mktemp("shadows") / "run", *BIRTHS, "execution.trials=1.0")


@pytest.fixture(scope="module")
def shadows(run):
    return open_run(run).shadows()


def test_the_run_has_the_digests_that_it_has_without(run, tmp_path):
    alone = launched(tmp_path / "run", *BIRTHS)
    assert digests(run) == digests(alone)
    assert verify(run).problems == ()
    assert replay(run, None, {"executor": "inline"}) is None


def test_every_birth_of_an_organism_and_round_has_all_its_shadows(run, shadows):
    decisions = open_run(run).decisions()
    born = decisions[(decisions["kind"] == "birth") & decisions["happens"] & decisions["chosen"].notna()]
    assert len(born)
    expected = set(born.groupby(["organism", "round"]).groups)
    assert set(shadows.groupby(["organism", "round"]).groups) == expected
    for _, of_one in shadows.groupby(["organism", "round"]):
        assert sorted(of_one["material"]) == sorted(MATERIALS)


def test_the_shadow_with_the_newborn_becomes_what_the_organism_became(run, shadows):
    census = open_run(run).census().set_index(["organism", "round"])["validation_loss"]
    born = shadows[shadows["material"] == "born"].set_index(["organism", "round"])["after_1"]
    assert len(born)
    pd.testing.assert_series_equal(born, census.loc[born.index], check_names=False, check_exact=True)


def test_with_nothing_born_the_loss_is_that_of_the_round_before(run, shadows):
    census = open_run(run).census().set_index(["organism", "round"])["validation_loss"]
    decisions = open_run(run).decisions()
    dead = set(
        decisions[(decisions["kind"] == "death") & decisions["happens"]].groupby(["organism", "round"]).groups
    )
    empty = shadows[shadows["material"] == "empty"].set_index(["organism", "round"])["at_birth"]
    kept = [key for key in empty.index if key not in dead and key[1] > 1]
    assert kept
    for organism, round in kept:
        assert empty[organism, round] == census[organism, round - 1]


def test_gains_are_against_nothing_and_end_with_the_run(shadows):
    empty = shadows[shadows["material"] == "empty"].set_index(["organism", "round"])
    for row in shadows.itertuples():
        for column in ("at_birth", "after_1", "after_5"):
            gain = empty.loc[(row.organism, row.round), column] - getattr(row, column)
            np.testing.assert_equal(getattr(row, f"gain_{column}"), gain)
    assert (shadows["after_5"].notna() == (shadows["round"] <= 3)).all()
    assert shadows[["at_birth", "after_1"]].notna().all(axis=None)


@pytest.mark.long
@pytest.mark.ray
def test_they_are_the_same_on_other_workers(shadows, tmp_path):
    where = ("execution.trials=1.0", "execution.executor=ray", "execution.workers=2")
    other = launched(tmp_path / "run", *BIRTHS, *where)
    pd.testing.assert_frame_equal(open_run(other).shadows(), shadows, check_exact=True)


def test_a_share_is_drawn_by_name(shadows, tmp_path):
    some = open_run(launched(tmp_path / "run", *BIRTHS, "execution.trials=0.5")).shadows()
    keys = ["organism", "round", "slot", "material"]
    assert 0 < len(some) < len(shadows)
    pd.testing.assert_frame_equal(some, shadows.merge(some[keys]), check_exact=True)


def test_other_material_has_the_newborns_norms(run):
    opened = open_run(run)
    first, second = (opened.genome(digest) for digest in opened.elites()["genome"][:2])
    scaled = with_norms(first, second)
    for name, array in scaled.arrays.items():
        assert array.shape == first.arrays[name].shape
        if name in second.arrays and second.arrays[name].size and array.size:
            rms = [np.sqrt(np.mean(np.square(a, dtype=float))) for a in (array, second.arrays[name])]
            assert rms[0] == pytest.approx(rms[1], rel=1e-5)
    assert scaled.genes == first.genes
    zero = dataclasses.replace(second, arrays={name: a * 0 for name, a in second.arrays.items()})
    assert all((with_norms(first, zero).arrays[name] == first.arrays[name]).all() for name in first.arrays)


def test_the_random_material_is_what_was_scaled_to_them(shadows, tmp_path, monkeypatch):
    """Scaled to nothing it writes nothing, and the loss is that with nothing born."""

    def nothing(drawn, made):
        return dataclasses.replace(drawn, arrays={name: a * 0 for name, a in drawn.arrays.items()})

    monkeypatch.setattr("runs.training.births.shadows.with_norms", nothing)
    other = open_run(launched(tmp_path / "run", *BIRTHS, "execution.trials=1.0")).shadows()
    gains = other[other["material"] == "random"]["gain_at_birth"]
    assert len(gains)
    assert gains.abs().max() < 1e-6
    assert shadows[shadows["material"] == "random"]["gain_at_birth"].abs().max() > 1e-4


def test_the_picture_is_drawn_where_there_are_any(run, tmp_path):
    (path,) = draw(run, ["trials"], folder=tmp_path)
    assert path.stat().st_size > 10_000
    without = launched(tmp_path / "run")
    assert open_run(without).shadows().empty
    with pytest.raises(NothingToDraw, match=r"no shadows of births; launch with execution\.trials above 0"):
        draw(without, ["trials"], folder=tmp_path)


def test_a_shadow_that_breaks_ends_no_run(run, tmp_path, monkeypatch):
    def broken(*arguments):
        raise ValueError("no clone")

    monkeypatch.setattr(trainer, "JOBS", {**trainer.JOBS, "shadow clone": broken})
    other = launched(tmp_path / "run", *BIRTHS, "execution.trials=1.0")
    assert digests(other) == digests(run)
    assert set(open_run(other).shadows()["material"]) == {"born", "random", "genes", "empty"}
    with RunDirectory.open(other).journal() as journal:
        assert any("no clone" in incident.body for incident in journal.incidents("lost"))


def test_what_is_no_shadow_is_told(run, tmp_path):
    other = copied(run, tmp_path)
    RunDirectory.open(other).remove_manifest()
    with RunDirectory.open(other).journal(readonly=False) as journal:
        journal.incident("2026-01-01T00:00:00+00:00", SHADOWED, {"organism": "first"}, round=1, organism=0)
    with pytest.raises(JournalError, match="holds a shadow of no birth"):
        open_run(other).shadows()
