import pytest
import torch
from torch import nn

from organisms.towers import BaseTower
from tests.organisms.towers.blocks import FFNBlock, SimpleTower


def test_stages_are_found_by_number_and_components_by_name():
    tower = SimpleTower("tower", 4, depth=3)
    assert (len(tower), tower[0], tower[-1]) == (3, tower.stages[0], tower.stages[2])
    assert list(tower) == tower[:] == list(tower.stages)
    assert isinstance(tower["norm"], nn.LayerNorm)
    assert tower[0].parent is tower
    assert {name.split(".")[0] for name in tower.state_dict()} == {"components", "stages"}


def test_stages_run_in_their_order_and_nest():
    inner, outer = BaseTower("inner"), BaseTower("outer")
    inner.extend([FFNBlock("a", 3), FFNBlock("b", 3)])
    outer.append(inner)
    outer.append(FFNBlock("c", 3))
    x = torch.ones(2, 3)
    assert torch.equal(outer(x), outer[1](inner[1](inner[0](x))))
    assert inner.parent is outer


def test_a_raw_module_is_no_stage_of_a_strict_tower():
    tower = BaseTower("tower")
    with pytest.raises(
        TypeError, match="stage Linear of tower 'tower' is a raw module: make it part of a TorchC"
    ):
        tower.extend([FFNBlock("a", 3), nn.Linear(3, 3)])
    assert len(tower) == 0


def test_another_tower_warns_of_it():
    tower = BaseTower("tower", strict=False)
    with pytest.warns(UserWarning, match="stage GELU of tower 'tower' is a raw module"):
        tower.append(nn.GELU())
    assert len(tower) == 1


def test_what_is_no_module_is_no_stage():
    with pytest.raises(TypeError, match="must be a module, but is a function"):
        BaseTower("tower", strict=False).append(lambda x: x)
    with pytest.raises(ValueError, match="must not be attached to itself"):
        (tower := BaseTower("tower")).append(tower)


def test_stages_are_detached_by_number():
    tower = SimpleTower("tower", 4)
    stage = tower[0]
    assert tower.detach(0) is stage
    assert (stage.parent, len(tower)) == (None, 1)
    assert isinstance(tower.detach("norm"), nn.LayerNorm)
    with pytest.raises(IndexError):
        tower.detach(5)
