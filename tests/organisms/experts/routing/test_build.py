import pytest
import torch

from organisms.experts.config import ROUTERS, RouterConfig
from organisms.experts.routing.build import build_router
from tests.organisms.experts.small_routers import WIDTH, drawn, generator, small_router

MINE = """
from organisms.experts.routing.choice import best
from organisms.experts.routing.router import BaseRouter
from organisms.experts.routing.bias import BiasRouter
from organisms.experts.routing.expert_choice import ExpertChoiceRouter
from organisms.experts.routing.sinkhorn import SinkhornRouter

class Contrary(BaseRouter):
    def choose(self, logits, logs, mask):
        return best(-logits, self.config.k)

class Mine(ExpertChoiceRouter): ...

class Biased(BiasRouter): ...

class Planned(SinkhornRouter): ...

class Silent(BaseRouter):
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
    with pytest.raises(ValueError, match=r"Silent\.choose must return a Choice, but returned None"):
        small_router("my_routers:Silent")(drawn(9, WIDTH))
    for name, sentence in (
        (
            "my_routers:Missing",
            r"cannot be imported: AttributeError\(\"module 'my_routers' has no attribute 'Mi",
        ),
        (
            "my_routers:function",
            "must name a subclass of organisms.experts.routing.router:BaseRouter that has a choose",
        ),
        (
            "my_routers:BaseRouter",
            "must name a subclass of organisms.experts.routing.router:BaseRouter that has a choose",
        ),
        (
            "no_such_module:Name",
            r"cannot be imported: ModuleNotFoundError\(\"No module named 'no_such_module'",
        ),
        ("broken_routers:Name", r"cannot be imported: ZeroDivisionError"),
    ):
        with pytest.raises(ValueError, match=sentence):
            build_router(RouterConfig(router_type=name), WIDTH, generator=generator())


def named(name, folder, monkeypatch):
    """The three ways to a router: its name, its import path, and a subclass of one's own."""
    (folder / "kin_routers.py").write_text(MINE)
    monkeypatch.syspath_prepend(folder)
    mine = {"expert_choice": "Mine", "bias": "Biased", "sinkhorn": "Planned"}[name]
    return name, ROUTERS[name], f"kin_routers:{mine}"


def test_what_a_router_is_does_not_depend_on_how_it_is_named(tmp_path, monkeypatch):
    for name in named("expert_choice", tmp_path, monkeypatch):
        assert not small_router(name).normalised
        assert small_router(name, norm_topk=True).normalised
        with pytest.raises(
            ValueError, match=r"so that tokens must choose, not experts, as with \w+: set it to 0"
        ):
            small_router(name, router_dropout_prob=0.1)
        with pytest.raises(
            ValueError, match=r"capacity must be dropless where experts choose, as with \w+, not causal"
        ):
            small_router(name, capacity="causal")
    for name in named("bias", tmp_path, monkeypatch):
        assert small_router(name).scored_by == "sigmoid"
        assert small_router(name, scores="softmax").scored_by == "softmax"
    for name in named("sinkhorn", tmp_path, monkeypatch):
        small_router(name, k=3, sinkhorn_topk=3)
        with pytest.raises(ValueError, match="sinkhorn_topk must be at least k, 3, or null, not 2"):
            small_router(name, k=3, sinkhorn_topk=2)


def test_scores_are_softmax_and_weights_sum_to_one_unless_asked_or_single():
    assert small_router().scored_by == "softmax"
    assert small_router(scores="sigmoid").scored_by == "sigmoid"
    assert small_router().normalised
    assert not small_router(k=1).normalised
    assert small_router(k=1, norm_topk=True).normalised
    assert not small_router(norm_topk=False).normalised
