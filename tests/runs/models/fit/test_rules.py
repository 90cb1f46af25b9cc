import pytest

from runs.models.fit.rules import broken_rules
from tests.fixtures.small_trainings import small

LINE = {"start": 1.0, "end": 0.5, "steps": 10}
ROUTER = "model__experts__block__moe__router__"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"sched__temperature": LINE, "model__kind": "flow"},
            "sched.temperature: is of routers, which this model has none",
        ),
        (
            {"sched__temperature": LINE, "model__experts__block__feed_forward": "dense"},
            "sched.temperature: is of routers",
        ),
        (
            {"sched__noise_std": LINE},
            "sched.noise_std: changes nothing while model.experts.block.moe.router.noise_type is none",
        ),
        (
            {"sched__capacity_factor": LINE},
            "sched.capacity_factor: changes nothing while model.experts.block.moe.router.capaci",
        ),
        (
            {"sched__temperature": {**LINE, "end": 0.0}},
            "sched.temperature.end: is 0, which a router's temperature cannot be",
        ),
        ({"sched__temperature": LINE, "model__kind": "a.b:c"}, "sched.temperature: is no option of a.b:c"),
    ],
)
def test_a_schedule_that_cannot_be_is_told(changes, told):
    (problem,) = broken_rules(small(**changes))
    assert str(problem).startswith(told)


@pytest.mark.parametrize(
    "changes",
    [
        {"sched__temperature": LINE},
        {"sched__noise_std": LINE, f"{ROUTER}noise_type": "gumbel"},
        {"sched__capacity_factor": LINE, f"{ROUTER}capacity": "causal"},
        {"sched__noise_std": LINE, "model__kind": "a.b:c"},
    ],
)
def test_others_are_right(changes):
    assert broken_rules(small(**changes)) == []
