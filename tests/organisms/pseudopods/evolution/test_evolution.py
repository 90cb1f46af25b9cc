"""Births and deaths in a user's own loop."""

import copy
import io
import pickle
import subprocess
import sys

import pytest
import torch
from matplotlib.figure import Figure

from analysis import lifecycle, progress
from archive_store.columns import COLUMNS
from organisms.pseudopods import EvolutionConfig, PoolConfig
from organisms.pseudopods.evolution.history import FRAMES
from tests.organisms.pseudopods.evolution.loop import QUICK, Loop, encoder


@pytest.fixture(scope="module")
def evolved():
    return Loop().train(60)


def test_heads_are_born_and_die_where_the_history_says(evolved):
    alive, events = [0, 1, 2, 4, 5, 6], evolved.happened()
    for _, kind, component in events:
        slot = int(component.split(".")[-1])
        assert (slot in alive) == (kind == "death")
        alive.remove(slot) if kind == "death" else alive.append(slot)
    assert {kind for _, kind, _ in events} == {"birth", "death"}
    living = [
        4 * depth + slot
        for depth, layer in enumerate(evolved.encoder.layers)
        for slot in layer.pseudopods.living()
    ]
    assert living == sorted(alive) == sorted(evolved.encoder.evolution.population.occupants)
    rounds = evolved.encoder.history()
    assert rounds["births"].sum() <= len([kind for _, kind, _ in events if kind == "birth"])
    assert rounds["alive"].iloc[-1] <= 8
    assert len(rounds) == 15


def test_a_newborn_is_worth_nothing_yet(evolved):
    """What the averages know of a slot is of who lives in it."""
    last = [round for round, kind, _ in evolved.happened() if kind == "birth"][-1]
    evolution = Loop().train(4 * (last - 1)).encoder.evolution
    born = {slot: who.component.born for slot, who in evolution.population.occupants.items()}
    seen = {slot: bool(evolution.moments[:, slot].any()) for slot in born}
    assert seen == {slot: round != last for slot, round in born.items()}
    assert last in born.values()


def test_nothing_is_behind_a_rank_and_in_an_empty_slot(evolved):
    for layer in evolved.encoder.layers:
        heads = layer.pseudopods
        for name, sizes in (("query", "ranks"), ("key", "ranks"), ("value", "widths"), ("output", "widths")):
            for slot, size in enumerate(getattr(heads, sizes).tolist()):
                assert not getattr(heads, name)[slot, size:].any()


def test_the_same_seed_has_the_same_births_and_deaths_and_another_seed_others(evolved):
    again, other = Loop().train(60), Loop(seed=1).train(60)
    assert again.encoder.history("decisions").equals(evolved.encoder.history("decisions"))
    for name, value in again.encoder.state_dict().items():
        assert torch.equal(value, evolved.encoder.state_dict()[name])
    assert other.happened() != evolved.happened()


@pytest.mark.parametrize("cut", [13, 30])
def test_a_resumed_training_goes_on_bit_for_bit(evolved, cut):
    """13 is within a round, while a newborn rises; the file loads without trust in its classes."""
    file, first = io.BytesIO(), Loop().train(cut)
    assert cut != 13 or first.encoder.evolution.population.rising
    torch.save(first.state(), file)
    file.seek(0)
    resumed = Loop().load(torch.load(file, weights_only=True)).train(60 - cut)
    assert resumed.happened() == evolved.happened()
    for frame in FRAMES:
        assert resumed.encoder.history(frame).equals(evolved.encoder.history(frame))
    for name, value in resumed.encoder.state_dict().items():
        assert torch.equal(value, evolved.encoder.state_dict()[name])
    assert resumed.encoder.archive_summary() == evolved.encoder.archive_summary()


def test_births_search_among_sources_and_go_on_from_a_state(evolved):
    among = {"chemotaxis": "sources", "patience": 1}
    whole = Loop(**among).train(60)
    births, by_rule = (loop.encoder.history("decisions") for loop in (whole, evolved))
    assert births["parents"].tolist() != by_rule["parents"].tolist()
    first = Loop(**among).train(30)
    assert first.encoder.evolution.tries
    resumed = Loop(**among).load(first.state()).train(30)
    assert resumed.encoder.history("decisions").equals(births)
    assert resumed.encoder.evolution.tries == whole.encoder.evolution.tries


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adagrad, torch.optim.Adafactor])
def test_other_optimizers_do(optimizer):
    assert Loop(optimizer).train(60).happened()


@pytest.mark.parametrize("options", [{"bias": False}, {"norm_first": True, "dropout": 0.1}])
def test_other_encoders_do(options):
    with torch.random.fork_rng():
        torch.manual_seed(0)  # of dropout
        loop = Loop(options=options).train(60)
    assert {kind for _, kind, _ in loop.happened()} == {"birth", "death"}


def test_without_empty_slots_births_wait_for_deaths():
    full = {"pool": PoolConfig(slots=3, rank=2, width=2)}
    events = Loop(options=full).train(60).happened()
    assert {kind for _, kind, _ in events} == {"birth", "death"}
    assert events[0][1] == "death"


def test_a_budget_of_traffic_is_kept_by_deaths():
    loop = Loop(budget_bytes=1).train(60)
    reasons = [row["reason"] for row in loop.decisions() if row["kind"] == "death" and row["happens"]]
    assert "budget" in reasons
    assert [len(layer.pseudopods.living()) >= 1 for layer in loop.encoder.layers] == [True, True]


def test_nothing_is_born_and_nothing_dies_after_a_loss_that_is_not_finite(evolved):
    """The gate stands still after the round with that loss, and opens again."""
    first = evolved.happened()[0][0]
    spoilt = Loop().train(60, spoilt=[4 * (first - 1) - 1])  # the last step before that birth
    assert spoilt.happened()[0][0] > first
    assert spoilt.encoder.history()["mean_loss"].isna().sum() == 1


def test_worth_can_be_looked_at_every_few_steps():
    loop = Loop(fitness_every=4)
    loop.train(3)
    assert not loop.encoder.evolution.moments[:, :-1].any()
    loop.train(1)
    assert loop.encoder.evolution.moments[0].tolist() == [0.5] * 8 + [0.9375]  # the last is of the loss


def test_without_births_heads_only_die():
    assert {kind for _, kind, _ in Loop(births="none").train(60).happened()} == {"death"}
    assert "random" in {row["operator"] for row in Loop(births="random").train(60).decisions()}


def test_without_evolve_no_qd_is_loaded():
    code = (
        "import sys, torch; from organisms.pseudopods import EvolutionConfig, SlimeMoldEncoder\n"
        "SlimeMoldEncoder(8, 2, 8)(torch.randn(3, 2, 8)).sum().backward()\n"
        "assert not [name for name in sys.modules if name.split('.')[0] in ('qd', 'ribs', 'pandas')]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_copy_does_not_evolve_until_it_is_told_to(evolved):
    for twin in (copy.deepcopy(evolved.encoder), pickle.loads(pickle.dumps(evolved.encoder))):
        with pytest.raises(ValueError, match="do not evolve"):
            twin.history()
        assert evolved.encoder.evolution.steps == 60


def test_an_encoder_keeps_no_activations_between_rounds():
    loop = Loop()
    for number in range(9):
        loop.backward()
        seen = [layer.pseudopods.seen is not None for layer in loop.encoder.layers]
        assert seen == [number % 4 == 3] * 2
        loop.train(1)


def test_frames_have_the_columns_of_a_run_and_are_drawn(evolved):
    for name, columns in FRAMES.items():
        assert set(columns.split()) - set(COLUMNS[name]) <= {"step"}
    rounds, census, decisions = (evolved.encoder.history(name) for name in ("rounds", "census", "decisions"))
    axes = Figure().subplots(5)
    lifecycle.lifecycle(rounds, census, decisions, axes[:2])
    for draw, place in zip((progress.coverage, progress.qd_score, progress.objective), axes[2:], strict=True):
        assert draw(rounds, place).lines
    assert len(evolved.encoder.history("validity")) == 7
    with pytest.raises(ValueError, match="has the frames rounds"):
        evolved.encoder.history("outcomes")


def test_the_summary_is_that_of_the_archive(evolved):
    summary = evolved.encoder.archive_summary()
    assert summary["filled"] == summary["coverage"] * summary["cells"] > 1
    assert summary["bytes"] > 0
    assert summary["calibrated"]


def test_what_is_asked_too_early_or_is_no_loss_is_refused():
    with pytest.raises(ValueError, match="do not evolve; call evolves"):
        encoder().evolve(1.0)
    loop = Loop()
    with pytest.raises(ValueError, match=r"call it after loss\.backward\(\)"):
        loop.encoder.evolve(1.0)
    loop.backward().backward()
    with pytest.raises(ValueError, match=r"one number, but has the shape \[2\]"):
        loop.encoder.evolve(torch.ones(2))
    for _ in range(3):
        loop.encoder.evolve(loop.loss)
    with pytest.raises(ValueError, match="was not called"):
        loop.encoder.evolve(loop.loss)
    assert loop.encoder.evolution.steps == 3


def test_an_optimizer_that_cannot_train_all_heads_is_refused():
    model = encoder()
    with pytest.raises(ValueError, match=r"layers\.1\.pseudopods\.query is not among"):
        model.evolves(torch.optim.SGD(model.layers[0].parameters()))
    model.layers[0].pseudopods.key.requires_grad_(False)
    with pytest.raises(ValueError, match=r"layers\.0\.pseudopods\.key is frozen"):
        model.evolves(torch.optim.SGD(model.parameters()))
    with pytest.raises(ValueError, match=r"a torch\.optim\.Optimizer, but is a list"):
        model.evolves(list(model.parameters()))
    with pytest.raises(ValueError, match="an EvolutionConfig, but is a dict"):
        model.evolves(torch.optim.SGD(model.parameters()), {})


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"births_every": 6, "fitness_every": 4}, "births_every must be a multiple of fitness_every, 4"),
        ({"culls_every": 10}, "culls_every must be a multiple of births_every, 4"),
        ({"cells": 1}, "cells must be at least 2"),
        ({"rise": 5}, "rise must be at most births_every times maturity, 4"),
    ],
)
def test_time_scales_that_do_not_fit_are_refused(changes, match):
    with pytest.raises(ValueError, match=match):
        EvolutionConfig(**QUICK | changes)


def test_a_state_of_another_encoder_or_configuration_is_refused(evolved):
    state = evolved.encoder.evolution.state_dict()
    with pytest.raises(ValueError, match="the same config, but there seed is 0, and here 3"):
        Loop(seed=3).encoder.evolution.load_state_dict(state)
    with pytest.raises(ValueError, match="the same sizes, but there layers is 2, and here 1"):
        Loop(options={"num_layers": 1}).encoder.evolution.load_state_dict(state)
    with pytest.raises(ValueError, match="what state_dict returned"):
        Loop().encoder.evolution.load_state_dict({})
