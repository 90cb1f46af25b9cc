"""Rollouts go on from their own predictions; and the pictures that are drawn of a model."""

import numpy as np
import pytest
import torch
from torch import nn

from analysis.rendering import NothingToDraw
from runs import tasks
from runs.models import pictures
from runs.models.config import DataConfig
from runs.models.rollout import predicts_next, rollout
from runs.results.predictions import kinds_of


class Doubling(nn.Module):
    """The next token is twice the last one; it must see no more than is there."""

    def forward(self, tokens, mask=None, generator=None):
        assert not self.training
        return 2 * tokens, {}


class Last(nn.Module):
    def forward(self, tokens, mask=None, generator=None):
        return tokens, {}


def test_each_prediction_is_the_next_token():
    model = Doubling().train()
    found = rollout(model, torch.tensor([[[9.0], [1.0]], [[9.0], [3.0]]]), 3)
    assert found[..., 0].tolist() == [[2, 4, 8], [6, 12, 24]]
    assert model.training


@pytest.mark.parametrize(
    ("name", "does"), [("signals", True), ("trajectories", True), ("sine", False), ("digits", False)]
)
def test_a_model_can_go_on_where_a_target_is_the_next_input(name, does):
    assert predicts_next(tasks.load(DataConfig(name=name))) is does


def test_a_rollout_begins_after_half_of_an_example_and_ends_with_its_last_target():
    task = tasks.load(DataConfig(name="signals"))
    for each in pictures.rollouts(Last(), task):
        assert (each.context.shape[1], each.truth.shape[1]) == (16, 17)
        np.testing.assert_array_equal(each.errors, each.held_errors)
    first = pictures.rollouts(Last(), task)[0]
    row = kinds_of(task)[first.name][0]
    np.testing.assert_array_equal(first.truth[0][:-1], task.test.inputs[row][16:])
    np.testing.assert_array_equal(first.truth[0][-1], task.test.targets[row][-1])


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("signals", ["predictions.png", "horizon.png", "spectra.png"]),
        ("trajectories", ["predictions.png", "horizon.png", "paths.png"]),
    ],
)
def test_a_task_has_the_pictures_that_it_has_something_for(name, wanted, tmp_path):
    paths = pictures.draw(Last(), tasks.load(DataConfig(name=name)), tmp_path / "plots", "a model")
    assert [path.name for path in paths] == wanted
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_one_picture_may_be_asked_for(tmp_path):
    task = tasks.load(DataConfig(name="signals"))
    (path,) = pictures.draw(Last(), task, tmp_path, "a model", "spectra", "svg")
    assert path.name == "spectra.svg"


@pytest.mark.parametrize(("name", "which"), [("digits", None), ("signals", "paths"), ("text", "predictions")])
def test_where_there_is_nothing_to_draw_nothing_is_written(name, which, tmp_path):
    with pytest.raises(NothingToDraw, match=f"there is no picture.* of the task '{name}'"):
        pictures.draw(Last(), tasks.load(DataConfig(name=name)), tmp_path / "plots", "a model", which)
    assert not (tmp_path / "plots").exists()
