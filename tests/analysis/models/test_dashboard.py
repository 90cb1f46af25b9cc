"""The dashboard of a training: what each panel draws of the log, also where there is hardly anything."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from analysis.models import dashboard
from analysis.rendering import rendered


def records(steps=20, experts=True):
    found = []
    for step in range(1, steps + 1):
        record = {"step": step, "loss": 1 / step, "gradient_norm": 2.0, "tokens_per_second": 1000.0 * step}
        if experts:
            record["expert_utilization"] = [[0.5, 0.25, 0.25], [0.0, 0.5, 0.5]]
        if step % 5 == 0:
            record["validation"] = {"loss": 2 / step, "score": 1 - 1 / step}
        found.append(record)
    return found


def drawn(panel, *arguments):
    axes = Figure().subplots()
    panel(*arguments, axes)
    return axes


def test_losses_are_drawn_at_their_steps_on_a_log_scale():
    axes = drawn(dashboard.losses, records())
    training, validation = axes.get_lines()
    np.testing.assert_allclose(training.get_xydata(), [(step, 1 / step) for step in range(1, 21)])
    np.testing.assert_allclose(validation.get_xydata(), [(step, 2 / step) for step in (5, 10, 15, 20)])
    assert axes.get_yscale() == "log"


def test_a_loss_that_is_not_positive_has_a_plain_scale():
    axes = drawn(dashboard.losses, [{"step": 1, "loss": 0.5}, {"step": 2, "loss": -0.5}])
    assert axes.get_yscale() == "linear"


def test_the_load_of_an_expert_is_against_the_even_share_of_its_layer():
    axes = drawn(dashboard.experts, records())
    (mesh,) = axes.collections
    rows = np.asarray(mesh.get_array()).reshape(6, 20)
    np.testing.assert_allclose(rows[:, 0], [1.5, 0.75, 0.75, 0.0, 1.5, 1.5])
    assert (rows == rows[:, :1]).all()


def test_without_experts_the_norm_of_gradients_is_drawn():
    axes = drawn(dashboard.experts, records(experts=False))
    assert axes.get_title() == "gradient norm"
    assert set(axes.get_lines()[0].get_ydata()) == {2.0}


@pytest.mark.parametrize(("name", "title"), [("accuracy", "error rate"), ("R2", "unexplained variance")])
def test_the_error_is_what_the_score_is_short_of_one(name, title):
    axes = drawn(dashboard.error, records(), name)
    np.testing.assert_allclose(axes.get_lines()[0].get_ydata(), [1 / 5, 1 / 10, 1 / 15, 1 / 20])
    assert axes.get_title() == title


values = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True, width=32))
logs = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "loss": values,
            "gradient_norm": values,
            "tokens_per_second": values,
            "validation": st.fixed_dictionaries({}, optional={"loss": values, "score": values}),
            "expert_utilization": st.just([[1.0, 0.0]]),
        },
    ),
    max_size=4,
)


@settings(max_examples=25)
@given(logs)
def test_whatever_a_log_lacks_there_is_a_picture(fields):
    log = [{"step": step, **each} for step, each in enumerate(fields, 1)]
    figure = Figure()
    dashboard.dashboard(log, "R2", "a training", figure)
    assert len(figure.axes) >= 4


def test_the_picture_is_the_same_each_time():
    def fill(figure):
        dashboard.dashboard(records(), "accuracy", "a training", figure)

    assert rendered(fill, "png") == rendered(fill, "png")
