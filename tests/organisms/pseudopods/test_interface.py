"""The names that the blueprint gives, and what else the package exports."""

import inspect
import subprocess
import sys

import pytest

import organisms.pseudopods

DOCUMENTED = {
    "SlimeMoldEncoder",
    "SlimeModel",
    "Organism",
    "FlowState",
    "TubeNetwork",
    "Memory",
    "PoolConfig",
    "Kernel",
}


def test_the_blueprints_names_are_exported():
    assert set(organisms.pseudopods.__all__) >= DOCUMENTED


@pytest.mark.parametrize("name", organisms.pseudopods.__all__)
def test_each_name_is_that_of_what_it_stands_for_and_is_described(name):
    value = getattr(organisms.pseudopods, name)
    assert value.__name__ == name
    assert inspect.getdoc(value)


def test_torch_is_loaded_by_what_computes():
    code = "import sys, organisms.pseudopods; dir(organisms.pseudopods); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_encoder_takes_what_torchs_layer_takes_in_its_order():
    import torch

    theirs = list(inspect.signature(torch.nn.TransformerEncoderLayer).parameters)
    ours = list(inspect.signature(organisms.pseudopods.SlimeMoldEncoder).parameters)
    theirs.remove("bias")  # ours takes it by its name
    assert ours[: len(theirs)] == theirs
    called = [
        inspect.signature(each.forward)
        for each in (torch.nn.TransformerEncoder, organisms.pseudopods.SlimeMoldEncoder)
    ]
    assert list(called[1].parameters) == list(called[0].parameters)
