import pytest
import torch

from organisms.experts.config import ROUTERS, RouterConfig
from organisms.experts.routers import build_router
from tests.organisms.experts.small_routers import WIDTH, drawn, generator, small_router

MINE = """
from organisms.experts.choice import best
from organisms.experts.router import Router

class Contrary(Router):
    def choose(self, logits, logs, mask):
        return best(-logits, self.config.k)

class Silent(Router):
    def choose(self, logits, logs, mask): ...

def function(): ...
"""


@pytest.mark.parametrize("name", ROUTERS)
def test_a_router_is_built_by_its_name(name):
    router = small_router(name)
    assert f"{type(router).__module__}:{type(router).__name__}" == ROUTERS[name]


def test_a_router_of_ones_own_is_built_by_its_import_path(tmp_path, monkeypatch):
    (tmp_path / "my_routers.py").write_text(MINE)
    (tmp_path / "broken_routers.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    info = small_router("my_routers:Contrary", k=1)(drawn(9, WIDTH))
    assert torch.equal(info.experts[:, 0], info.logits.argmin(1))
    with pytest.raises(ValueError, match=r"Silent\.choose must give a Choice, but gave None"):
        small_router("my_routers:Silent")(drawn(9, WIDTH))
    for name, sentence in (
        (
            "my_routers:Missing",
            r"cannot be imported: AttributeError\(\"module 'my_routers' has no attribute 'Mi",
        ),
        ("my_routers:function", "must name a subclass of organisms.experts.router:Router that has a choose"),
        ("my_routers:Router", "must name a subclass of organisms.experts.router:Router that has a choose"),
        (
            "no_such_module:Name",
            r"cannot be imported: ModuleNotFoundError\(\"No module named 'no_such_module'",
        ),
        ("broken_routers:Name", r"cannot be imported: ZeroDivisionError"),
    ):
        with pytest.raises(ValueError, match=sentence):
            build_router(RouterConfig(router_type=name), WIDTH, generator=generator())
