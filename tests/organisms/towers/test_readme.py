"""What the README of towers shows is run as it stands, and what it names is there."""

import re
import textwrap
from pathlib import Path

import pytest
import torch

import organisms.towers

FOLDER = Path(__file__).parents[3] / "organisms" / "towers"
README = (FOLDER / "README.md").read_text(encoding="utf-8")
ROWS = [
    (name, files)
    for names, files in re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (`[\w/]+\.py`.*) \|$", README, re.MULTILINE)
    for name in re.findall(r"\w+", names)
]


def run(number):
    """What a block of code in the README defines."""
    blocks, names = re.findall(r"(?:^    .*\n(?:\n(?=    ))?)+", README, re.MULTILINE), {}
    exec(textwrap.dedent(blocks[number]), names)
    return names


def test_the_quick_start_runs():
    names = run(0)
    assert names["output"].shape == (32, 16, 64)
    collective = names["collective"]
    collective(names["torch"].randn(32, 16, 64))
    assert collective.get_wide_stats()["groups"][0]["used"] == "wide_compiler"


def test_configured_collectives_run():
    names = run(1)
    assert names["tokens"](torch.randn(2, 5, 64)).shape == (2, 5, 64)
    assert names["latents"](torch.randn(2, 16, 8, 8)).shape == (2, 64)


def test_any_module_runs(capsys):
    names = run(2)
    assert capsys.readouterr().out.startswith("8 x Linear (linear) together: heads.0, ")
    x = torch.randn(16, 64)
    torch.testing.assert_close(names["compiler"](x), names["compiler"].module(x))
    assert names["output"].shape == (16, 64)


@pytest.mark.parametrize(("name", "files"), ROWS)
def test_each_name_is_in_its_file(name, files):
    first, *others = re.findall(r"`([\w/]+(?:\.py|/))`", files)
    assert getattr(organisms.towers, name).__module__ == f"organisms/towers/{first}"[:-3].replace("/", ".")
    assert all((FOLDER / each).exists() for each in others)


def test_every_public_name_is_in_the_table():
    assert {name for name, _ in ROWS} >= set(organisms.towers.__all__)
