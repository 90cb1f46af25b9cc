import os
from pathlib import Path

import numpy as np
import pytest

from runs import errors
from runs.errors import is_users, told
from runs.machine.source_digest import PACKAGES

MINE = """
import json
import numpy as np
from organisms.task import Split, Task

def of_a_task():
    split = Split(np.full((3, 2, 1), 0.1), np.zeros(3, int))
    return Task("mine", "class", split, split, split, split, "continuous", 1, 2, np.zeros((2, 1)))

def of_a_library():
    return json.loads("{")

def of_its_own():
    raise SystemExit("no\\nmore")
"""


@pytest.fixture
def mine(tmp_path):
    """Run a module of the user's."""
    names = {}
    exec(compile(MINE, str(tmp_path / "mine.py"), "exec"), names)
    return names


def raised(call):
    with pytest.raises((Exception, SystemExit)) as caught:
        call()
    return told(caught.value)


@pytest.mark.parametrize(
    ("name", "begin", "line"),
    [
        ("of_a_task", "ValueError: train.inputs must be float32, ", 8),
        ("of_a_library", "JSONDecodeError: Expecting property name", 11),
        ("of_its_own", "SystemExit: no more", 14),
    ],
)
def test_the_place_is_the_last_line_of_the_users_own_whatever_it_called(mine, name, begin, line):
    sentence = raised(mine[name])
    assert sentence.startswith(begin)
    assert sentence.endswith(f" (mine.py, line {line})")


def test_a_place_that_the_text_has_is_not_named_twice():
    sentence = raised(lambda: compile("x = (", "mine.py", "exec"))
    assert sentence == "SyntaxError: '(' was never closed (mine.py, line 1)"


def test_what_was_never_raised_has_no_place():
    assert told(ValueError()) == "ValueError"


def test_nothing_of_ours_or_of_a_library_is_the_users():
    root = Path(errors.__file__).parents[1]
    files = [
        *(str(root / name / "x.py") for name in PACKAGES),
        np.__file__,
        os.__file__,
        "<frozen importlib>",
    ]
    assert [file for file in files if is_users(file)] == []
    assert is_users(str(root / "mine.py"))
