"""What the README of experts shows is run as it stands."""

import re
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import torch

from organisms.experts import BiasRouter, ExpertConfig, MoEConfig, RouterConfig, build_moe

README = Path(__file__).parents[3] / "organisms" / "experts" / "README.md"
LAYER, MODEL, READING, ROUTER = (
    textwrap.dedent(block)
    for block in re.findall(
        r"(?:^    .*\n(?:\n(?=    ))?)+", README.read_text(encoding="utf-8"), re.MULTILINE
    )
)


def test_a_layer_and_a_model_are_built_and_give_a_loss():
    stream = torch.Generator().manual_seed(0)
    names = {
        "x": torch.randn(2, 5, 512, generator=stream),
        "symbols": torch.randint(256, (2, 5), generator=stream),
        "task_loss": lambda outputs: outputs.square().mean(),
        "optimizer": torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))]),
    }
    exec(LAYER, names)
    assert names["loss"].isfinite()
    exec(MODEL, names)
    assert names["logits"].shape == (2, 5, 256)
    assert {
        name for name in names["metrics"] if f"`{name}`" not in README.read_text(encoding="utf-8")
    } == set()
    routers = [part for part in names["model"].modules() if isinstance(part, BiasRouter)]
    assert [bool(router.bias.any()) for router in routers] == [True, True]
    exec(READING, names)
    with torch.no_grad():
        whole = [
            names["model"](names["symbols"][each : each + 1, :length])[0] for each, length in ((0, 5), (1, 2))
        ]
    torch.testing.assert_close(names["next_logits"], torch.cat([logits[:, -1] for logits in whole]))


def test_a_router_of_a_user_routes(monkeypatch):
    module = ModuleType("my_routers")
    monkeypatch.setitem(sys.modules, "my_routers", module)
    exec(ROUTER, vars(module))
    router = RouterConfig(n_experts=4, router_type="my_routers:Hashed")
    moe = build_moe(MoEConfig(d_model=16, router=router, expert=ExpertConfig(d_hidden=8)))
    x = torch.randn(2, 3, 16, generator=torch.Generator().manual_seed(0))
    assert moe(x)[0].any()
