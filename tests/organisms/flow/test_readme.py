"""What the README of flow shows is run as it stands, and what it lists is all there is."""

import re
import textwrap
from pathlib import Path

import pytest
import torch

import organisms.flow

README = (Path(__file__).parents[3] / "organisms" / "flow" / "README.md").read_text(encoding="utf-8")
NETWORK, LAYER, MEMORY, TOKENS, QUANTISED = (
    textwrap.dedent(block)
    for block in re.findall(r"(?:^    .*\n(?:\n(?=    ))?)+", README, re.MULTILINE)
    if "import" in block
)


def test_the_quick_start_runs():
    torch.manual_seed(0)  # the examples draw as a newcomer does
    names = {}
    exec(NETWORK, names)
    assert names["logits"].shape == (1, 1300, 256)
    found = set(names["metrics"])
    exec(LAYER, names)
    torch.testing.assert_close(names["moved"], names["same"], atol=1e-5, rtol=1e-4)
    found |= set(names["metrics"])
    exec(MEMORY, names)
    assert names["read"].shape == (2, 128, 64)
    assert {name for name in found | set(names["metrics"]) if f"`{name}`" not in README} == set()


def test_the_example_of_reading_token_by_token_runs():
    torch.manual_seed(0)
    names = {}
    exec(NETWORK, names)
    exec(TOKENS, names)
    with torch.no_grad():
        for row, ids in zip(names["logits"], names["ids"].split([3, 2]), strict=True):
            torch.testing.assert_close(row, names["model"](ids[None])[0][0, -1], rtol=1e-4, atol=1e-4)


def test_the_example_of_few_bits_runs():
    pytest.importorskip("torchao")
    names = {}
    exec(NETWORK, names)
    exec(QUANTISED, names)
    assert names["logits"].shape == (2, 128, 256)


def test_every_public_name_is_listed():
    assert {name for name in organisms.flow.__all__ if f"`{name}`" not in README} == set()
