"""`plasmodia validate --random-measures`: the run's measures beside random projections of what parts write."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from runs.calibration.control import SETS, controlled, controls, table
from runs.cli import app
from runs.errors import ConfigError, RunError
from runs.training.calibration_jobs import Sample, Sampled
from tests.fixtures.small_runs import arguments, small


def made_up(chosen, n=80):
    """Measures of two organisms: `chosen` of draws [n, 5], and noise for the random ones, of which halves agree."""
    rng = np.random.default_rng(0)
    rows = np.hstack([chosen(rng.normal(size=(n, 5))), rng.normal(size=(n, 5 * SETS))])
    halves = [(rows + 0.1 * rng.normal(size=rows.shape)).tolist() for _ in range(2)]
    parts = np.array_split(rows, 2)
    return [Sampled((Sample(-2 - k, 3, part.tolist()),), *halves, ()) for k, part in enumerate(parts)]


def compared(chosen):
    config = small()
    return controlled(config, (*config.measures, *controls(config)), made_up(chosen))


def correlated(draws):
    """Measures with one cause in common."""
    return draws + draws[:, :1]


def test_each_random_set_has_as_many_measures_as_the_run_and_none_twice():
    config = small()
    names = controls(config)
    assert len(set(names)) == len(names) == SETS * len(config.measures)
    assert names[7] == "projection_7"


def test_measures_with_something_in_common_are_sounder_than_independent_ones():
    control = compared(correlated)
    assert control.chosen.measures.kmo > max(each.measures.kmo for each in control.random)
    assert len(control.random) == SETS
    worse = [each for each in control.random if each.measures.margin < control.chosen.measures.margin]
    assert 0 < len(worse) < SETS
    assert f"limits of a sound space than {len(worse)} of {SETS} random sets" in table(control)


def test_cells_are_counted_in_the_space_that_each_set_spans():
    few = compared(lambda draws: draws[:, :1] + 0.1 * draws)
    assert few.chosen.cells < min(each.cells for each in few.random) <= few.archive_cells


def test_a_constant_measure_is_named():
    with pytest.raises(RunError, match=r"^measures attention_span, .* cannot be compared: .*attention_span"):
        compared(lambda draws: draws * [0, 1, 1, 1, 1])


def test_copies_of_one_measure_are_named():
    with pytest.raises(RunError, match=r"^measures attention_span, .*: they follow from one another$"):
        compared(lambda draws: draws[:, :1] + np.zeros(5))


def test_two_measures_have_no_kmo_to_compare():
    with pytest.raises(ConfigError, match="compares sets of three or more measures, and the run has 2"):
        controls(small("measures=[attention_span,gradient_flow]"))


def test_the_command_sets_them_side_by_side():
    overrides = arguments("calibration.steps=6", "organism.depth=2")
    answer = CliRunner().invoke(app, ["validate", "smoke", *overrides, "--random-measures", "--json"])
    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.stdout)
    assert len(found["random"]) == SETS
    assert found["random"][0]["measures"]["names"] == [f"projection_{number}" for number in range(5)]
    assert 0 < found["chosen"]["cells"] <= found["archive_cells"]


def test_a_run_cannot_have_them_for_measures():
    """They are a control; `plasmodia experiment measures` runs with projections of a part's matrices."""
    with pytest.raises(ConfigError, match="projection_1"):
        small("measures=[attention_span,projection_1,gradient_flow]")
