"""What is noticed of towers before each pass, and what is none of its business."""

import pytest
import torch
from torch import nn

from organisms.towers.wide.groups.watch import Watch
from tests.organisms.towers.blocks import SimpleTower


class Noted(SimpleTower):
    """A tower with attributes of every sort."""

    def __init__(self, name):
        super().__init__(name, 4)
        self.notes, self.table, self.pair, self.shift = [], {"a": [1]}, (1, 2), 3
        self.scale = Scale()
        self.stages[0].fc1.register_buffer("mask", torch.ones(4))


def towers():
    return [Noted("first"), Noted("second")]


def set_to(key, value):
    return lambda tower: setattr(tower, key, value)


class Scale:
    """A setting that is no plain value, and equal to itself alone."""


def replace_twice(tower):
    """The third may come to where the first one was."""
    for _ in range(2):
        tower.scale = Scale()


def swap_attributes(tower):
    del tower.shift
    tower.shifted = 3


CHANGES = {
    "a mode": lambda tower: tower[0].act.eval(),
    "a setting": lambda tower: setattr(tower[0].drop, "p", 0.3),
    "a plain attribute": set_to("shift", 4),
    "a tuple": set_to("pair", (1, 3)),
    "one attribute for another": swap_attributes,
    "a new attribute": set_to("other", 1),
    "an empty list that is filled": lambda tower: tower.notes.append(1),
    "an empty list that is replaced": set_to("notes", []),
    "what a mapping holds": lambda tower: tower.table["a"].append(2),
    "an object that is attached": lambda tower: tower.attach("config", {"scale": 1}),
    "an object": replace_twice,
    "a parameter": lambda tower: setattr(tower[1].fc2, "bias", nn.Parameter(torch.zeros(4))),
    "a parameter that is dropped": lambda tower: setattr(tower[1].fc2, "bias", None),
    "a buffer": lambda tower: tower[0].fc1.register_buffer("mask", torch.ones(4)),
    "a new buffer": lambda tower: tower[0].fc2.register_buffer("mask", torch.ones(4)),
    "a module": lambda tower: setattr(tower[0], "act", nn.GELU()),
    "a new module": lambda tower: tower[0].add_module("more", nn.Identity()),
    "a new stage": lambda tower: tower.append(SimpleTower("inner", 4)),
    "a hook": lambda tower: tower[0].fc1.register_forward_hook(print),
    "a backward hook": lambda tower: tower["norm"].register_full_backward_hook(print),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_one_tower_is_noticed(change):
    watched = towers()
    watch = Watch(watched)
    assert watch.unchanged()
    CHANGES[change](watched[1])
    assert not watch.unchanged()
    assert Watch(watched).unchanged()


def test_a_hook_that_goes_is_noticed_too_and_those_of_others_are_not():
    watched = towers()
    handle = watched[0].register_forward_hook(print)
    watch = Watch(watched)
    SimpleTower("other", 4).register_forward_hook(print)
    assert watch.unchanged()
    handle.remove()
    assert not watch.unchanged()


def test_one_hook_in_place_of_another_is_noticed():
    watched = towers()
    watch = Watch(watched)
    handle = watched[1].register_forward_hook(print)
    assert not watch.unchanged()
    handle.remove()
    assert watch.unchanged()


def test_numbers_names_and_what_a_pass_leaves_behind_are_no_change():
    watched = towers()
    watch, optimizer = Watch(watched), torch.optim.SGD(watched[0].parameters(), 0.1)
    watched[0](torch.ones(2, 4)).square().sum().backward()
    optimizer.step()
    watched[1].load_state_dict(watched[0].state_dict())
    watched[1].name = "third"
    watched[1].cache_set("features", torch.ones(2))
    watched[0][0].fc1.mask.zero_()
    assert watch.unchanged()
