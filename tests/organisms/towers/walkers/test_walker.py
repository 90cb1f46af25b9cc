import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from organisms.towers.walkers.blends import BLENDS
from organisms.towers.walkers.readings import READINGS, energy
from organisms.towers.walkers.schedules import SCHEDULES
from organisms.towers.walkers.walker import PRESETS, ConfigurableWalker, preset_walker
from tests.organisms.towers.fusion.fusions import opinions


@pytest.mark.parametrize("schedule", SCHEDULES)
@given(st.integers(2, 30))
def test_stops_rise_from_the_beginning_to_the_end(schedule, steps):
    found = ConfigurableWalker(schedule=schedule, num_steps=steps).stops
    assert (found[0], found[-1], len(found)) == (0, 1, steps)
    assert all(x < y for x, y in pairwise(found))
    closed = {
        "linear": lambda u: u,
        "cosine": lambda u: (1 - math.cos(math.pi * u)) / 2,
        "quadratic": lambda u: u**2,
    }
    assert found == pytest.approx([closed[schedule](n / (steps - 1)) for n in range(steps)], abs=1e-12)


def test_a_walk_is_its_blend_at_its_stops_read_by_its_aggregation():
    a, b = opinions(2, 2, 5)
    for blend in BLENDS:
        for reading in READINGS:
            walker = ConfigurableWalker(blend, "cosine", reading, num_steps=4)
            points = [BLENDS[blend](a, b, torch.tensor([share], dtype=a.dtype)) for share in walker.stops]
            torch.testing.assert_close(walker.path(a, b), torch.stack(points))
            torch.testing.assert_close(walker(a, b), READINGS[reading](torch.stack(points)))


def test_readings_are_mean_end_and_a_share_by_energy():
    path = torch.tensor([[1.0, 0], [0, 3], [2, 2]], dtype=torch.float64)
    assert READINGS["mean"](path).tolist() == pytest.approx([1, 5 / 3])
    assert READINGS["last"](path).tolist() == [2, 2]
    odds = [math.exp(each) for each in (0.5, 4.5, 4.0)]
    expected = [(odds[0] + 2 * odds[2]) / sum(odds), (3 * odds[1] + 2 * odds[2]) / sum(odds)]
    assert energy(path).tolist() == pytest.approx(expected)


def test_the_presets_are_the_documents_and_lerp_is_the_mean():
    assert list(PRESETS) == ["lerp", "slerp", "slip", "shiva", "zeus", "gilgamesh"]
    a, b = opinions(2)
    torch.testing.assert_close(preset_walker("lerp")(a, b), (a + b) / 2)
    answers = [preset_walker(preset)(a, b) for preset in PRESETS]
    for at, each in enumerate(answers):
        torch.testing.assert_close(preset_walker(list(PRESETS)[at])(b, a), each)  # whoever begins
        assert not any(torch.allclose(each, other, rtol=1e-3) for other in answers[:at])


def test_parts_may_be_your_own():
    walker = ConfigurableWalker(
        lambda a, b, t: a * b * t,
        lambda steps: torch.tensor([0.0] * (steps - 1) + [1.0]),
        lambda path: path.sum(0),
    )
    a, b = opinions(2)
    torch.testing.assert_close(walker(a, b), a * b)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"blend": "lurp"}, r"blend is 'lurp', but must be one of lerp, .*; did you mean 'lerp'\?"),
        ({"schedule": "x"}, "schedule is 'x', but must be one of linear, cosine, quadratic"),
        ({"aggregation": "max"}, "aggregation is 'max', but must be one of mean, last, energy"),
        ({"num_steps": 1}, "num_steps must be a whole number of stops from 2 on, but is 1"),
        (
            {"schedule": lambda steps: torch.ones(steps)},
            r"a schedule must rise from 0 to 1 in num_steps = 8 stops",
        ),
        ({"schedule": lambda steps: torch.linspace(0, 1, 5)}, "must rise from 0 to 1 in num_steps = 8 stops"),
        (
            {"schedule": lambda steps: [0, 0.75, 0.25, 1.0], "num_steps": 4},
            r"its stops are \[0\.0, 0\.75, 0\.25, 1\.0\]",
        ),
        ({"schedule": lambda steps: [0, math.nan, 1.0], "num_steps": 3}, "never fall, but its stops are"),
    ],
)
def test_parts_that_cannot_be_are_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        ConfigurableWalker(**options)


def test_an_unknown_preset_is_refused():
    with pytest.raises(ValueError, match=r"preset is 'vishnu', but must be one of lerp, slerp, slip, shiva"):
        preset_walker("vishnu")
