"""What every port owes: a life cycle, a place, a mode, one input or many; with and without torch."""

import copy
import gc
import subprocess
import sys
import weakref
from textwrap import dedent

import pytest
import torch

from organisms.towers import (
    BasePort,
    BaseRouter,
    BaseTower,
    CLIPPort,
    DINOPort,
    ExecutionStrategy,
    QwenPort,
    TorchComponent,
    VAEPort,
    WideRouter,
)
from tests.organisms.towers.ports.tiny import picture, save_clip, save_dino, save_qwen, save_vae


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    for name, save in (("qwen", save_qwen), ("dino", save_dino), ("clip", save_clip), ("vae", save_vae)):
        save(root / name)
    return root


PORTS = {
    "qwen": (lambda root, **o: QwenPort("qwen", root / "qwen", **o), ("a cat", "dogs")),
    "dino": (lambda root, **o: DINOPort("dino", root / "dino", **o), (picture(0), picture(1))),
    "text": (lambda root, **o: CLIPPort("text", root / "clip", modality="text", **o), ("a cat", "dogs")),
    "vision": (
        lambda root, **o: CLIPPort("vision", root / "clip", modality="vision", **o),
        (picture(0), picture(1)),
    ),
    "vae": (lambda root, **o: VAEPort("vae", root / "vae", **o), (picture(0), picture(1))),
}
every_port = pytest.mark.parametrize("kind", PORTS)


def made(kind, root, **options):
    return PORTS[kind][0](root, **options), PORTS[kind][1]


class Letters(BasePort):
    """A port without torch: how many letters a text has."""

    table = None

    @property
    def is_loaded(self):
        return self.table is not None

    def load(self):
        self.table = {chr(code): 1 for code in range(97, 123)}
        return self

    def unload(self):
        self.table = None
        return self

    def preprocess(self, raw):
        return [raw.lower()] if self.is_single(raw) else [each.lower() for each in raw]

    def encode(self, prepared):
        return [sum(self.table.get(each, 0) for each in text) for text in prepared]

    def postprocess(self, encoded):
        return [float(each) for each in encoded]


def test_a_port_needs_no_torch_and_may_be_attached():
    port, router = Letters("letters"), BaseRouter("router")
    router.attach("letters", port)
    assert port.parent is router
    with pytest.raises(RuntimeError, match=r"port 'letters' is not loaded: call load\(\) first"):
        port("a cat")
    assert (port.load()("A cat!"), port(["A cat", ""])) == (4.0, [4.0, 0.0])
    assert not port.unload().is_loaded


def test_a_port_has_its_three_steps():
    with pytest.raises(TypeError, match="abstract"):
        BasePort("port")


@pytest.mark.long
def test_the_base_needs_no_torch_and_a_port_no_library_until_it_is_loaded():
    code = dedent("""
        import sys
        from organisms.towers import BasePort
        assert "torch" not in sys.modules
        from organisms.towers import CLIPPort, DINOPort, QwenPort, VAEPort
        for kind in (CLIPPort, DINOPort, QwenPort, VAEPort):
            kind("port", "nowhere").half().freeze()
        assert not {"transformers", "diffusers"} & sys.modules.keys()
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@every_port
@pytest.mark.long
def test_it_is_loaded_used_unloaded_and_loaded_again(kind, folders):
    port, (one, _) = made(kind, folders)
    for step in (port, port.preprocess, port.encode):
        with pytest.raises(RuntimeError, match=rf"port '{kind}' is not loaded: call load\(\) first"):
            step(one)
    assert port.load() is port
    model, output = port.model, port(one)
    assert port.load().model is model
    held = weakref.ref(model)
    del model
    assert port.unload() is port
    gc.collect()
    assert held() is None
    assert not list(port.parameters())
    assert torch.equal(port.load()(one), output)


@every_port
def test_one_input_is_the_row_of_a_batch(kind, folders):
    port, (one, other) = made(kind, folders)
    port.load()
    batch = port([one, other])
    for row, raw in zip(batch, (one, other), strict=True):
        torch.testing.assert_close(port(raw), row)
    assert torch.equal(port((one, other)), batch)
    assert not torch.allclose(batch[0], batch[1])
    torch.testing.assert_close(port.postprocess(port.encode(port.preprocess(one))), port([one]))


@every_port
def test_it_computes_where_and_in_what_it_was_moved_to(kind, folders):
    port, (one, _) = made(kind, folders, dtype=torch.float64)
    exact = port.load()(one)
    assert (port.dtype, port.device, exact.dtype) == (torch.float64, torch.device("cpu"), torch.float64)
    port.unload().bfloat16().load()
    assert {each.dtype for each in port.parameters()} == {torch.bfloat16}
    found = port(one)
    assert found.dtype == torch.bfloat16
    assert (found - exact).norm() < 0.1 * exact.norm()
    assert port.to(torch.float64)(one).dtype == torch.float64
    assert {each.device.type for each in port.to("meta").unload().load().parameters()} == {"meta"}


def test_it_is_loaded_at_home_and_moves_to_allowed_devices_alone(folders):
    port, _ = made("dino", folders, home_device="meta", allowed_devices=["meta", "cpu"])
    assert port.device.type == "cpu"
    assert port.load().is_home
    assert {each.device.type for each in port.parameters()} == {"meta"}
    with pytest.raises(ValueError, match="'dino' may be on cpu, meta, not on cuda"):
        port.cuda()
    tower, (port, _) = BaseTower("tower"), made("dino", folders)
    tower.append(port)
    tower.network_to("cpu", torch.float64)
    assert {each.dtype for each in port.load().parameters()} == {torch.float64}
    assert port.is_home


@every_port
def test_a_frozen_port_neither_learns_nor_trains(kind, folders):
    port, (one, _) = made(kind, folders)
    router = BaseRouter("router")
    router.attach("port", port)
    port.load()
    router.train()
    assert not any(each.training for each in port.modules())
    assert not any(each.requires_grad for each in port.parameters())
    assert not port(one).requires_grad
    assert port.unfreeze() is port
    router.train()
    assert all(each.training for each in port.modules())
    port(one).sum().backward()
    assert any(each.grad is not None and each.grad.abs().sum() > 0 for each in port.parameters())
    assert port.freeze() is port
    router.train()
    assert not any(each.training or each.model.training for each in [port])
    assert not port(one).requires_grad
    thawed, _ = made(kind, folders, frozen=False)
    assert all(each.requires_grad for each in thawed.load().parameters())
    assert all(each.training for each in thawed.modules())


def test_a_port_is_called_as_a_module_with_its_hooks(folders):
    port, (one, _) = made("qwen", folders)
    port.register_forward_hook(lambda _module, _inputs, output: output * 0)
    assert not port.load()(one).any()


@pytest.mark.parametrize("kind", ["dino", "vision", "vae"])
def test_gradients_flow_through_a_frozen_port_to_its_input(kind, folders):
    port, (one, _) = made(kind, folders)
    pixels = torch.rand(3, 32, 32, requires_grad=True)
    port.load()(pixels).square().sum().backward()
    assert pixels.grad.abs().sum() > 0
    assert port.preprocess(one) is not None
    assert all(each.grad is None for each in port.parameters())


def test_weights_are_saved_with_what_holds_the_port_and_the_rest_is_not(folders):
    router, other = BaseRouter("router"), BaseRouter("other")
    for each in (router, other):
        each.attach("port", made("dino", folders)[0].load())
    for each in router["port"].parameters():
        each.data.mul_(2)
    assert router.state_dict().keys() == {
        f"components.port.model.{name}" for name in router["port"].model.state_dict()
    }
    other.load_state_dict(router.state_dict())
    assert torch.equal(other["port"](picture()), router["port"](picture()))


def test_a_copy_is_a_port_of_its_own(folders):
    port, (one, _) = made("qwen", folders)
    copied = copy.deepcopy(port.load())
    copied.unload()
    assert port(one).shape == (16,)


class Head(TorchComponent):
    def __init__(self, name):
        super().__init__(name)
        self.out = torch.nn.Linear(16, 4)

    def forward(self, x):
        return self.out(x)


@pytest.mark.parametrize("strategy", ExecutionStrategy)
@pytest.mark.parametrize("kind", ["qwen", "dino"])
def test_ports_are_stages_of_the_towers_of_a_collective(kind, strategy, folders):
    router, (one, other) = WideRouter("wide", execution_strategy=strategy), PORTS[kind][1]
    shared, _ = made(kind, folders)
    for at, port in enumerate((shared.load(), shared, made(kind, folders)[0].load())):
        tower = BaseTower(f"tower_{at}")
        tower.extend([port, Head("head")])
        router.attach(tower.name, tower)
    x = [one, other] if kind == "qwen" else shared.preprocess([one, other])["pixel_values"]
    wanted = {name: tower(x) for name, tower in router.towers.items()}
    for _ in range(3):
        found = router.wide_forward(x)
    assert found.keys() == wanted.keys()
    for name, each in wanted.items():
        torch.testing.assert_close(found[name], each)
    assert [list(group["towers"]) for group in router.get_wide_stats()["groups"]] == [
        ["tower_0", "tower_1"],
        ["tower_2"],
    ]


@every_port
def test_a_pool_is_one_that_the_port_has(kind, folders):
    with pytest.raises(
        ValueError, match=rf"pool of port '{kind}' must be one of .*mean, max or None, but is"
    ):
        made(kind, folders, pool="maen")
    with pytest.raises(ValueError, match="did you mean 'mean'"):
        made(kind, folders, pool="maen")
