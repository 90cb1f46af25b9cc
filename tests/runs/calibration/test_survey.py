"""`plasmodia validate --measures`: all measures on one calibration, and the sets that would span a sound space."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from qd.measures import DESCRIPTIONS, MEASURES
from runs.calibration.survey import surveyed, table
from runs.cli import app
from runs.errors import RunError
from runs.training.calibration_jobs import Sample, Sampled
from tests.fixtures.small_runs import arguments, small

NAMES = tuple(DESCRIPTIONS)


def made_up(constant=(), noisy=()):
    """Two organisms whose measures share two causes; some are constant, and some differ from half to half."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(2, len(NAMES)))

    def rows():
        found = rng.normal(size=(60, 2)) @ mixing + 1.5 * rng.normal(size=(60, len(NAMES)))
        found[:, [NAMES.index(name) for name in constant]] = 1.0
        return found

    def half(found):
        again = found + 0.1 * rng.normal(size=found.shape)
        for name in noisy:
            again[:, NAMES.index(name)] = rng.normal(size=len(found))
        return again.tolist()

    tables = [(number, rows()) for number in (-2, -3)]
    return [Sampled((Sample(n, 3, one.tolist()),), half(one), half(one), ()) for n, one in tables]


def test_measures_that_do_not_vary_are_left_out_and_unreliable_ones_come_last():
    survey = surveyed(small(), NAMES, made_up(["effect_depth"], ["served_share"]))
    assert survey.left_out == ("effect_depth",)
    reliability = dict(survey.reliability)
    assert set(reliability) == set(NAMES) - {"effect_depth"}
    assert reliability["served_share"] < 0.5 < min(v for n, v in reliability.items() if n != "served_share")
    assert not any("served_share" in one.names for one in survey.sets if one.margin >= 0)
    assert all(len(one.names) == 5 for one in survey.sets)
    written = table(survey)
    assert f"measures: [{', '.join(survey.sets[0].names)}]" in written
    assert "effect_depth         left out: it is constant here" in written


def test_a_set_has_as_many_measures_as_the_run():
    survey = surveyed(small("measures=[attention_span,gradient_flow,served_share]"), NAMES, made_up())
    assert {len(one.names) for one in survey.sets} == {3}


def test_too_few_that_vary_are_one_sentence():
    with pytest.raises(RunError, match=r"of 18 measures only 3 vary, and a set has 5; raise calibration\.st"):
        surveyed(small(), NAMES, made_up(NAMES[3:]))


def asked(*options, kind="pseudopods"):
    overrides = arguments(f"organism.kind={kind}", "calibration.steps=6", "organism.depth=2")
    return CliRunner().invoke(app, ["validate", "smoke", *overrides, *options])


@pytest.mark.long
def test_the_command_ranks_what_the_family_offers_as_a_program_would_read_it(family):
    answer = asked("--measures", "--json", kind=family)
    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.stdout)
    known = [name for name, _ in found["reliability"]] + found["left_out"]
    assert sorted(known) == sorted(DESCRIPTIONS)
    assert set(MEASURES) <= set(known)
    assert all(set(one) > {"names", "kmo", "reliability"} for one in found["sets"])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--measures", "--no-import"), "--measures trains networks, which --no-import forbids"),
        (
            ("--random-measures", "--no-import"),
            "--random-measures trains networks, which --no-import forbids",
        ),
        (("--json",), "--json is of the sets of --measures or --random-measures; ask for one of them alone"),
        (("--json", "--measures", "--random-measures"), "ask for one of them alone"),
        (("--json", "--calibrate"), "ask for one of them alone"),
    ],
)
def test_what_does_not_go_together_is_told(options, told):
    answer = asked(*options)
    assert answer.exit_code == 2
    assert told in answer.stderr
