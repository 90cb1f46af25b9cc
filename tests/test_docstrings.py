"""What every docstring of our own source keeps to, found by reading it: how it begins, and that it names arguments."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from runs.cli import app

ROOT = Path(__file__).parents[1]
PACKAGES = ("qd", "kernels", "archive_store", "organisms", "runs", "analysis")
COMMANDS = "runs/commands/"  # whose docstrings are their --help, and whose arguments have a help text each
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
Function = ast.FunctionDef | ast.AsyncFunctionDef

FEWEST = 3  # arguments of a public function that have to be described
OBLIQUE = re.compile(
    r"(Give|Gives|Say|Says)\b"
)  # what is returned is "Return ...", what is asked "Whether ..."
# A line that begins an entry of a section: one name or several, perhaps with a type.
ENTRY = re.compile(r"(\*{0,2}\w+(?:, \*{0,2}\w+)*)(?: : .*)?")


def found(source: str, fewest: int = FEWEST) -> list[str]:
    """Name what is wrong with the docstrings of a source text, with its line."""
    tree = ast.parse(source)
    wrong = [f"line {line}: begins with {first}" for line, first in oblique(tree)]
    for name, function, is_method in public(tree.body):
        given, described = arguments(function, is_method), parameters(function)
        if len(given) >= fewest:
            wrong += [
                f"line {function.lineno}: {name} does not describe {each}" for each in given - described
            ]
        wrong += [f"line {function.lineno}: {name} has no argument {each}" for each in described - given]
    return sorted(wrong)


def oblique(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and (first := OBLIQUE.match(ast.get_docstring(node) or "")):
            yield getattr(node, "lineno", 1), first[0]


def public(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, Function, bool]]:
    """Find the functions and methods that others may call: name, definition and whether it is a method."""
    for node in body:
        if not isinstance(node, DOCUMENTED) or isinstance(node, ast.Module) or node.name.startswith("_"):
            continue
        if isinstance(node, ast.ClassDef):
            yield from public(node.body, f"{prefix}{node.name}.")
        else:
            yield prefix + node.name, node, bool(prefix)


def arguments(function: Function, is_method: bool) -> set[str]:
    """Name what a caller gives: all but `self` and `cls`."""
    spec = function.args
    names = [each.arg for each in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs)]
    names += [each.arg for each in (spec.vararg, spec.kwarg) if each is not None]
    return set(names) - ({"self", "cls"} if is_method else set())


def parameters(function: Function) -> set[str]:
    """Name what the section `Parameters` describes."""
    lines = (ast.get_docstring(function) or "").splitlines()
    starts = [at for at, line in enumerate(lines) if at and line and set(line) == {"-"}]
    begin = next((at + 1 for at in starts if lines[at - 1] == "Parameters"), len(lines))
    end = next((at - 1 for at in starts if at > begin), len(lines))
    entries = (ENTRY.fullmatch(line) for line in lines[begin:end])
    return {name.lstrip("*") for entry in entries if entry for name in entry[1].split(", ")}


@pytest.mark.parametrize("package", PACKAGES)
def test_docstrings_begin_plainly_and_describe_the_arguments_of_public_functions(package):
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    sources = {str(file.relative_to(ROOT)): file.read_text(encoding="utf-8") for file in files}
    wrong = {
        name: found(text, sys.maxsize if name.startswith(COMMANDS) else FEWEST)
        for name, text in sources.items()
    }
    assert {name: lines for name, lines in wrong.items() if lines} == {}


def commands(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Name all subcommands, those of subcommands too."""
    assert isinstance(group, TyperGroup)
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, f"{name} ")
        else:
            yield f"{prefix}{name}", command


def test_every_argument_of_a_subcommand_has_a_help_text():
    texts = {
        f"{name} {argument.name}": getattr(argument, "help", None)
        for name, command in commands(get_command(app))
        for argument in command.params
    }
    assert {name for name, text in texts.items() if not text} == set()
    assert len(texts) > 20


WITH_TWO = '''
def f(a, b, *, c=None):
    """Return a sum.

    Parameters
    ----------
    a, b
        Numbers.

    Raises
    ------
    c
        Is no parameter.
    """
'''
WITH_ALL = WITH_TWO.replace("        Numbers.", "        Numbers.\n    c : float\n        Another.")


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ('"""Give all."""', ["line 1: begins with Give"]),
        ('def _f():\n    """Say whether."""', ["line 1: begins with Say"]),
        ('class _A:\n    def f(self):\n        """Gives x."""', ["line 2: begins with Gives"]),
        (
            'def f(a, /, *b, **c):\n    """Return."""',
            [f"line 1: f does not describe {name}" for name in "abc"],
        ),
        (
            "class A:\n    def f(self, a, b, c): ...",
            [f"line 2: A.f does not describe {name}" for name in "abc"],
        ),
        ("async def f(a, b, *, c): ...", [f"line 1: f does not describe {name}" for name in "abc"]),
        (WITH_TWO, ["line 2: f does not describe c"]),
        (WITH_ALL.replace("a, b, *, c=None", "a, b"), ["line 2: f has no argument c"]),
    ],
)
def test_each_of_these_would_be_found(source, wrong):
    assert found(source) == wrong


@pytest.mark.parametrize(
    "source",
    [
        '"""Given names."""',
        'def f(a, b):\n    """Return a sum."""',
        "def _f(a, b, c): ...",
        "class _A:\n    def f(self, a, b, c): ...",
        "class A:\n    def f(self, a, b): ...\n    def __exit__(self, kind, error, trace): ...",
        "class A:\n    @classmethod\n    def f(cls, a, b): ...",
        WITH_ALL,
    ],
)
def test_none_of_these_is_found(source):
    assert found(source) == []
