"""The benchmarks of flow run as they stand, at sizes that show nothing but that they do."""

import re
import sys

import pytest

from tests.benchmarks import flow, flow_needle, flow_quality


def test_speed_is_printed_of_every_model_pass_and_length(capsys):
    flow.main(
        [
            "--lengths",
            "16,32",
            "--dim",
            "16",
            "--rounds",
            "1",
            "--dense-rounds",
            "1",
            "--fitted",
            "16",
            "--peaks=",
        ]
    )
    printed = capsys.readouterr().out
    for length in (16, 32):
        for kind in flow.PASSES:
            assert len(re.findall(rf"^ *{length} {kind} .* x\)", printed, re.MULTILINE)) == 1
            assert len(re.findall(rf"^ *{length} {kind} .*dense .*flow layer", printed, re.MULTILINE)) == 1
    assert len(re.findall(r"grows as S\^-?\d", printed)) == 6


@pytest.mark.long
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from Linux's /proc")
def test_memory_is_that_of_a_process_of_its_own():
    found = flow.peaks("dense", 256, 32)
    assert found["forward"] > 256 * 32**2 * 4
    assert found.keys() == set(flow.PASSES)


def test_the_transformer_is_as_large_as_the_flow():
    made = flow.models(64, 128)
    sizes = {name: flow.parameters(model) for name, model in made.items()}
    assert abs(sizes["transformer"] / sizes["flow"] - 1) < 0.01


def test_quality_is_printed_with_spread(capsys, monkeypatch):
    for name, value in {"HELD_OUT": 4, "BATCH": 2, "RATES": (1e-3,)}.items():
        monkeypatch.setattr(flow_quality, name, value)
    flow_quality.main(["--steps", "1", "--seeds", "2"])
    printed = capsys.readouterr().out
    for name in flow_quality.MODELS:
        assert re.search(
            rf"^  {name} +\d\.\d+ \+- \d\.\d+  \(\d\.\d+, \d\.\d+; learning rate", printed, re.MULTILINE
        )


@pytest.mark.long
def test_needles_are_looked_for_by_every_model(capsys, monkeypatch):
    monkeypatch.setattr(flow_needle, "ASKED", 100)
    flow_needle.main(["--steps", "1"])
    printed = capsys.readouterr().out
    for name in flow_needle.models(0):
        assert re.search(rf"^ *0 {name}(?: +[01]\.\d+){{3}} ", printed, re.MULTILINE)
