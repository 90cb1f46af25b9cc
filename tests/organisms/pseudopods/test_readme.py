"""What the README of pseudopods shows is run as it stands, and what it lists is all there is."""

import re
import textwrap
from pathlib import Path

import torch

import organisms.pseudopods

FOLDER = Path(organisms.pseudopods.__file__).parent
README = (FOLDER / "README.md").read_text(encoding="utf-8")
ENCODER, TEXT, EVOLUTION, STREAM, MEMORY = (
    textwrap.dedent(block)
    for block in re.findall(r"(?:^    .*\n(?:\n(?=    ))?)+", README, re.MULTILINE)
    if "import" in block
)


def test_the_quick_start_runs():
    torch.manual_seed(0)  # the examples draw as a newcomer does
    names = {}
    exec(ENCODER, names)
    assert names["y"].shape == (2, 100, 64)
    assert names["difference"] < 1e-5
    exec(STREAM, names)
    x, model = names["x"], names["model"]
    torch.testing.assert_close(names["second"], model(x)[:, 77:], atol=1e-5, rtol=1e-4)
    assert names["stats"]["living"] == [2, 2]
    exec(MEMORY, names)
    assert names["recalled"].shape == (3, 32)


def test_the_example_learns_a_text_in_thirty_lines():
    assert len([line for line in TEXT.splitlines() if line]) <= 30
    torch.manual_seed(0)
    names = {}
    exec(TEXT, names)
    assert names["losses"][0] > 5
    shares = torch.bincount(names["text"]) / len(names["text"])
    by_frequency = torch.special.entr(shares).sum().item()  # what a guess without context comes to
    assert sum(names["losses"][-5:]) / 5 < by_frequency - 0.3


def test_the_example_of_evolution_has_births_and_deaths_in_thirty_lines():
    assert len([line for line in EVOLUTION.splitlines() if line]) <= 30
    torch.manual_seed(0)
    names = {}
    exec(EVOLUTION, names)
    rounds, losses = names["rounds"], names["losses"]
    assert rounds["births"].sum() > 2
    assert rounds["deaths"].sum() > 2
    assert sum(losses[-20:]) < 0.6 * sum(losses[:20])
    assert names["summary"]["filled"] > 5
    assert set(names["checkpoint"]) == {"model", "optimizer", "evolution"}


def test_every_public_name_is_listed():
    assert {name for name in organisms.pseudopods.__all__ if f"`{name}`" not in README} == set()


def test_every_file_that_is_named_is_there():
    named = re.findall(r"`([\w/]+\.py|kernels/\w+(?:/\w+)?)`", README)
    assert len(named) > 40
    roots = (FOLDER, FOLDER.parents[1])
    assert [path for path in named if not any((root / path).exists() for root in roots)] == []
