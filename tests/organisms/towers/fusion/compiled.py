"""Fusions, walkers and messages under `torch.compile`.

Run by test_compiled.py in a process of its own, without the checks of shapes, which cannot be traced. By hand:

    python -m pytest -n 0 --noconftest -p no:logging tests/organisms/towers/fusion/compiled.py
"""

import pytest
import torch

from organisms.towers.fusion.builder import STRATEGIES
from organisms.towers.walkers.fusion import create_walker_fusion
from organisms.towers.walkers.walker import PRESETS
from tests.organisms.towers.fusion.fusions import fusion, moved, opinions
from tests.organisms.towers.geometry.test_documents import DIM, RoutedWideCollective, drawn

# What torch's compiler does to tensors and functions that it meets is none of ours.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
    pytest.mark.filterwarnings("ignore:.* should not be instantiated:DeprecationWarning"),
]
MADE = {
    **{name: lambda name=name: fusion(name) for name in STRATEGIES},
    **{
        name: lambda name=name: moved(create_walker_fusion("walk", 6, name, with_inception=True).double())
        for name in PRESETS
    },
}


@pytest.mark.parametrize("made", MADE)
def test_nothing_in_a_fusion_breaks_the_graph(made):
    torch.compiler.reset()
    plain, whole = MADE[made](), opinions()
    compiled = torch.compile(plain, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(*whole), plain(*whole))


def test_the_complete_example_routes_when_it_is_compiled():
    torch.compiler.reset()
    torch.manual_seed(0)
    collective, x = RoutedWideCollective("routed", num_towers=3, dim=DIM), drawn(2, 5, DIM)
    expected = collective(x)
    collective.reset()
    compiled = collective.prepare_and_compile(backend="eager")
    for _ in range(2):
        output = compiled(x)
        torch.testing.assert_close(output, expected)
        assert len(collective["expert_0"]["address"].inbox) == 2
    output.sum().backward()
    assert all(each.grad is not None for each in collective["fusion"].parameters())
