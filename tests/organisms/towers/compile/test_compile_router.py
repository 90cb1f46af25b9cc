"""The router around a module: its interface, and what it notices."""

import copy
import io

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from organisms.towers import CompileRouter, VMapTowerGroup, compile_module
from organisms.towers.compile.compile_router import KEPT
from tests.organisms.towers.compile.models import (
    DIM,
    Counting,
    Dropping,
    Ensemble,
    Listed,
    Making,
    Shared,
    SloppyModel,
    Special,
    linear,
)
from tests.organisms.towers.compile.test_models import drawn, made


def used(compiled):
    return [each["used"] for each in compiled.get_compilation_stats()["groups"]]


def test_the_documents_example_runs(capsys):
    model, x = SloppyModel(), drawn(4, DIM)
    compiler = compile_module(model, "sloppy")
    assert compiler.name == "sloppy"
    torch.testing.assert_close(compiler(x), model(x))
    compiler = CompileRouter.from_module(model)
    assert compiler.name == "SloppyModel"
    compiler.introspect()
    compiler.compile_towers()
    compiler.print_stages()
    maps = ", ".join(f"stuff.{i}" for i in range(8))
    assert capsys.readouterr().out == (
        f"8 x Linear (linear) as they are, because they wait for one another: {maps}\n"
    )
    assert compiler.get_compilation_stats()["reason"] == "no modules in it can be computed together"


def test_stages_are_written_where_they_are_wanted():
    file = io.StringIO()
    compile_module(made(Ensemble)).print_stages(file)
    first, second = file.getvalue().splitlines()
    assert first == "3 x Sequential (container) together: members.0, members.1, members.2"
    assert second.startswith("1 x Linear (linear) as they are, because")
    for module, text in (
        (Making(), "Making is called as it is: its forward pass makes tensors of its own\n"),
        (nn.Linear(2, 2), "no module has the structure of another one\n"),
    ):
        file = io.StringIO()
        compile_module(module).print_stages(file)
        assert file.getvalue() == text


def test_every_part_is_found_once_with_its_category():
    parts = {part.path: part for part in compile_module(made(Shared)).introspect()}
    assert (parts["first"].category, parts["first"].also) == ("linear", ("again",))
    assert parts["first"].parameters == DIM * DIM + DIM
    assert (parts[""].category, parts["others"].category) == ("composite", "container")
    assert list(parts) == ["", "first", "others", "others.a", "others.b"]
    stats = compile_module(made(Shared)).get_compilation_stats()
    assert stats["categories"] == {"composite": 1, "linear": 3, "container": 1}
    assert (stats["modules"], stats["parameters"]) == (5, 3 * (DIM * DIM + DIM))
    assert stats["shared"] == {"first": ["again"]}
    listed = made(Listed)
    listed.known = [listed.heads[0], {"other": listed.heads[1]}]
    assert compile_module(listed).get_compilation_stats()["unregistered"] == ["hiding.hidden"]


def test_vmap_groups_are_built_of_stages():
    module, x = made(Ensemble), drawn(4, DIM)
    ((name, group),) = compile_module(module).build_vmap_groups().items()
    assert name == "members.0, members.1, members.2"
    assert isinstance(group, VMapTowerGroup)
    wanted = {f"members.{i}": copy.deepcopy(each)(x) for i, each in enumerate(module.members)}
    torch.testing.assert_close(group(x), wanted)


@pytest.mark.long
def test_each_form_of_call_has_stages_of_its_own():
    module, x, scale = made(Ensemble).eval(), drawn(4, DIM), drawn(4, DIM, seed=1)
    plain, compiled = copy.deepcopy(module), compile_module(module)
    for _ in range(2):
        for args, kwargs in (
            ((x,), {}),
            ((x, scale), {}),
            ((x,), {"scale": scale}),
            ((x, 2.0), {}),
            ((x, 3.0), {}),
        ):
            torch.testing.assert_close(compiled(*args, **kwargs), plain(*args, **kwargs))
    assert used(compiled) == ["wide_compiler"]
    for factor in range(20):  # more than are kept
        torch.testing.assert_close(compiled(x, factor), plain(x, factor))


def test_a_change_of_mode_is_noticed():
    compiled, x = compile_module(made(Dropping)), drawn(4, DIM)

    def stages():
        return [each.paths for each in compiled.compile_towers() if each.batched]

    assert stages() == [("blocks.0.0", "blocks.1.0")]
    compiled.eval()
    assert stages() == [("blocks.0", "blocks.1")]
    torch.testing.assert_close(compiled(x), compiled.module(x))


def test_forms_and_modes_share_the_memory_of_parameters():
    compiled, x = compile_module(made(Ensemble)), drawn(4, DIM)
    weight = compiled.module.members[1][0][0].weight
    places = []
    for training in (True, False, True):
        compiled.train(training)
        for scale in (1.0, 2.0):
            for _ in range(2):
                compiled(x, scale)
            places.append(weight.data_ptr())
    assert len(dict.fromkeys(places)) == 1


@pytest.mark.long
def test_what_is_known_of_forms_is_bounded():
    compiled, x = compile_module(made(Ensemble).eval()), drawn(4, DIM)
    for factor in range(20):
        compiled(x, factor)
    assert len(compiled._known) == KEPT


def test_a_new_part_is_noticed():
    compiled, x = compile_module(made(Ensemble).eval()), drawn(4, DIM)
    for _ in range(2):
        compiled(x)
    compiled.module.members.append(nn.Identity())
    compiled.module.read = nn.Linear(DIM, 2, dtype=torch.float64)
    torch.testing.assert_close(compiled(x), compiled.module(x))
    assert compiled(x).shape == (4, 2)


def test_a_new_hook_is_noticed_and_told_once_for_each_pass():
    compiled, x, seen = compile_module(made(Ensemble)), drawn(4, DIM), []
    compiled(x)
    compiled.module.read.register_forward_hook(lambda *values: seen.append(values[2].shape))
    for count in range(1, 4):
        compiled(x)
        assert seen == [(4, DIM)] * count
    assert used(compiled) == ["wide_compiler"]
    compiled.module.members[0].register_forward_hook(lambda *values: None)
    for _ in range(2):
        compiled(x)
    assert used(compiled) == ["wide_compiler"]
    assert compiled.compile_towers()[0].paths == ("members.1", "members.2")


def test_parts_that_cannot_be_listed_are_called_as_they_are():
    compiled, x, seen = compile_module(made(Special)), drawn(4, DIM), []
    compiled.module.told.register_forward_hook(lambda *values: seen.append(values[1][0]))
    for count in range(1, 4):
        compiled(x)
        heads = compiled.module.heads
        assert len(seen) == count
        torch.testing.assert_close(seen[-1], heads[0](x) * heads[1](x))
        torch.testing.assert_close(compiled.module.caching.cache_get("x"), seen[-1])
    assert compiled.get_compilation_stats()["opaque"] == {
        "told": "it has hooks, which want to see each tower",
        "frozen": "its forward pass switches gradients on or off",
        "skipping": "its forward pass draws random numbers and goes by them",
        "caching": "its forward pass caches tensors for others",
    }
    assert used(compiled) == ["wide_compiler"]


def test_what_a_call_changes_is_changed_once():
    compiled = compile_module(made(Counting))
    for _ in range(3):
        compiled(drawn(4, DIM))
    assert compiled.module.counter.calls == 3


def test_what_is_wrong_with_an_input_is_told_by_the_module():
    compiled = compile_module(made(Ensemble))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        compiled(drawn(4, DIM + 1))
    torch.testing.assert_close(compiled(drawn(4, DIM)), made(Ensemble)(drawn(4, DIM)))


def test_states_copies_and_moves():
    compiled, x = compile_module(made(Ensemble).eval()), drawn(4, DIM)
    for _ in range(2):
        before = compiled(x)
    copied, other = copy.deepcopy(compiled), compile_module(made(Ensemble, seed=1).eval())
    other.load_state_dict(compiled.state_dict())
    with torch.no_grad():
        for each in compiled.parameters():
            each.zero_()
    assert not compiled(x).any()
    for each in (copied, other):
        for _ in range(2):
            torch.testing.assert_close(each(x), before)
        assert used(each) == ["wide_compiler"]
    copied.to(torch.float32)
    for _ in range(2):
        torch.testing.assert_close(copied(x.float()), before.float(), rtol=0, atol=1e-5)


def test_modes_of_gradients_are_proven_by_themselves():
    compiled, plain, x = compile_module(made(Ensemble).eval()), made(Ensemble).eval(), drawn(4, DIM)
    for mode in (torch.no_grad, torch.inference_mode, torch.enable_grad):
        with mode():
            for _ in range(2):
                torch.testing.assert_close(compiled(x), plain(x))
    compiled(x).sum().backward()
    assert all(each.grad is not None for each in compiled.parameters())


def test_it_is_made_of_a_module_and_a_known_strategy():
    with pytest.raises(ValueError, match=r"module of 'one' must be a torch\.nn\.Module, but is a function"):
        CompileRouter("one", linear)
    with pytest.raises(
        ValueError, match="execution_strategy must be one of sequential, vmap, wide_compiler, auto"
    ):
        CompileRouter("one", linear(), execution_strategy="fast")


def gradients(call, x):
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(call(leaf).square().sum(), leaf)[0]


def test_transforms_and_hooks_for_all_modules_see_the_module_itself():
    compiler, x, seen = compile_module(made(Ensemble).eval()), drawn(4, DIM), []
    wanted = gradients(compiler.module, x)
    torch.testing.assert_close(torch.func.grad(lambda y: compiler(y).square().sum())(x), wanted)
    assert "torch.func" in compiler.get_compilation_stats()["reason"]
    handle = nn.modules.module.register_module_forward_hook(lambda module, *_: seen.append(module))
    try:
        compiler(x)
    finally:
        handle.remove()
    assert all(seen.count(each) == 1 for each in compiler.module.members)
    assert "hooks for all modules" in compiler.get_compilation_stats()["reason"]
    torch.testing.assert_close(gradients(compiler, x), wanted)
    assert compiler.get_compilation_stats()["reason"] is None


def test_a_checkpoint_saves_the_same_when_it_makes_a_call_again():
    compiler, x = compile_module(made(Ensemble)), drawn(4, DIM)
    wanted = gradients(compiler.module, x)

    def checkpointed(y):
        return checkpoint(compiler, y, use_reentrant=False)

    torch.testing.assert_close(gradients(checkpointed, x), wanted)
    assert "checkpoint" in compiler.get_compilation_stats()["reason"]
    for _ in range(3):
        gradients(compiler, x)
    torch.testing.assert_close(gradients(checkpointed, x), wanted)
    assert compiler.get_compilation_stats()["reason"] is None
    assert used(compiler) == ["wide_compiler"]


def test_a_strategy_may_be_set_by_its_value():
    compiler = compile_module(made(Ensemble))
    compiler.execution_strategy = "vmap"
    for _ in range(2):
        compiler(drawn(4, DIM))
    assert used(compiler) == ["vmap"]
    with pytest.raises(ValueError, match="execution_strategy must be one of"):
        compiler.execution_strategy = "fast"


class Scaled(nn.Module):
    """Cannot be called with tensors alone, and gives a dtype that goes by its other argument."""

    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Embedding(4, 3), nn.Embedding(4, 3)

    def forward(self, rows, *, scale):
        return self.one(rows) + self.other(rows), rows * scale


def test_what_is_told_is_of_a_call_like_the_last_one():
    compiler, rows = compile_module(Scaled()), torch.tensor([0, 2])
    assert "missing 1 required keyword-only argument" in compiler.get_compilation_stats()["reason"]
    for _ in range(2):
        compiler(rows, scale=2)
    assert (used(compiler), compiler.get_compilation_stats()["reason"]) == (["wide_compiler"], None)
    assert compiler.compile_towers()[0].paths == ("one", "other")
    assert copy.deepcopy(compiler).get_compilation_stats()["reason"] is not None


def test_numbers_of_two_kinds_are_two_forms():
    compiler, rows = compile_module(Scaled()), torch.tensor([0, 2])
    for scale, dtype in ((2, torch.int64), (2.0, torch.float32), (True, torch.int64), (1.0, torch.float32)):
        for _ in range(2):
            torch.testing.assert_close(compiler(rows, scale=scale), compiler.module(rows, scale=scale))
            assert compiler(rows, scale=scale)[1].dtype == dtype


def test_another_module_in_its_place_is_noticed():
    compiler, x = compile_module(made(Ensemble)), drawn(4, DIM)
    for _ in range(2):
        compiler(x)
    compiler.components["module"] = other = made(Ensemble)
    with torch.no_grad():
        for each in other.parameters():
            each.mul_(2)
    wanted = copy.deepcopy(other)(x)
    torch.testing.assert_close(compiler(x), wanted)
