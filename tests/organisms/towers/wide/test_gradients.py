import math

import pytest
import torch

from organisms.towers import GradientDebugger
from tests.organisms.towers.blocks import SimpleTower
from tests.organisms.towers.wide.shapes import BATCHED, collective, inputs, passed


@pytest.fixture
def towers():
    made = {
        name: SimpleTower(name, 4, depth=1)
        for name in ("usual", "other", "nan", "inf", "dead", "large", "frozen")
    }
    sizes = {"nan": math.nan, "inf": math.inf, "dead": 0.0, "large": 1e4}
    for name, tower in made.items():
        for each in tower.parameters():
            each.grad = torch.full_like(each, sizes.get(name, 1.0))
    for each in made["frozen"].requires_grad_(False).parameters():
        each.grad = None
    return made


def test_level_0_says_nothing(towers):
    off = GradientDebugger()
    assert (off.norms(towers), off.stage_norms(towers), off.anomalies(towers)) == ({}, {}, {})
    assert "gradient_debug_level is 0" in off.report(towers)


def test_level_1_has_the_norm_of_each_tower(towers):
    norms = GradientDebugger(1).norms(towers)
    numbers = sum(each.numel() for each in towers["usual"].parameters())
    assert norms["usual"] == pytest.approx(math.sqrt(numbers))
    assert norms["frozen"] == 0
    assert GradientDebugger(1).report({"usual": towers["usual"]}) == f"usual: {norms['usual']:.3e}"


def test_level_2_finds_anomalies_and_has_the_stages(towers):
    watching = GradientDebugger(2)
    assert watching.anomalies(towers) == {"nan": "nan", "inf": "inf", "dead": "dead", "large": "exploding"}
    numbers = sum(each.numel() for each in towers["usual"][0].parameters())
    assert watching.stage_norms(towers)["usual"] == [pytest.approx(math.sqrt(numbers))]
    assert "large: " in watching.report(towers)
    assert "- exploding" in watching.report(towers)


def test_a_level_is_0_1_or_2():
    with pytest.raises(ValueError, match=r"must be 0 \(off\), 1 \(towers\) or 2 \(stages too\), but is 3"):
        GradientDebugger(3)


def test_a_collective_reports_its_towers_and_the_health_of_what_is_fused():
    router = collective(["plain"] * 2, 4, strategy=BATCHED[1])
    assert router.check_fusion_health() == {}
    passed(router, inputs((3, 4)))
    router.gradient_debugger = GradientDebugger(1)
    assert router.gradient_report().splitlines()[1].startswith("tower_1: ")
    router["tower_1"][0].fc1.weight.grad[0, 0] = math.nan
    (health,) = router.check_fusion_health().values()
    assert (health["coverage"]["share"], health["anomalies"]) == (1.0, {"tower_1": "nan"})
