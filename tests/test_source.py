"""What our own source never does, found by reading it: loading code with data, running texts, guarding by assert."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from runs.machine.source_digest import PACKAGES

ROOT = Path(__file__).parents[1]
UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
YAML_LOADERS = {"load", "load_all", "unsafe_load", "unsafe_load_all", "full_load", "full_load_all"}
RUNNERS = {"eval", "exec", "os.system", "os.popen"}


def found(source: str, package: str = "runs") -> list[str]:
    """Name all that is forbidden in a source text, with its line."""
    return [f"line {node.lineno}: {what}" for node, what in forbidden(ast.parse(source), package)]


def forbidden(tree: ast.AST, package: str) -> Iterator[tuple[ast.AST, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names) if any(name.name.split(".")[0] in UNPICKLERS for name in names):
                yield node, "loads pickles"
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in UNPICKLERS:
                yield node, "loads pickles"
            case ast.ImportFrom(module=str(module), names=names) if module in (
                "yaml",
                "torch",
                "numpy",
                "os",
            ):
                for name in names:
                    if name.name in YAML_LOADERS | {"system", "popen"}:
                        yield node, f"{module}.{name.name} is called by its whole name, so that it is seen"
            case ast.Call():
                yield from ((node, what) for what in calls(node))
            case ast.ExceptHandler(type=ast.expr() as kind) if "AssertionError" in ast.unparse(kind):
                yield node, "catches AssertionError"
            case ast.Assert() if not narrows(node) and (node.msg is None or package == "archive_store"):
                yield node, "assert is a guard"


def calls(node: ast.Call) -> Iterator[str]:
    """Say what is wrong with a call."""
    name = ast.unparse(node.func)
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
    if name in RUNNERS or given.get("shell", "False") != "False":
        yield f"{name} runs a text"
    if name == "torch.load" and given.get("weights_only") != "True":
        yield "torch.load without weights_only=True"
    if name in ("np.load", "numpy.load") and given.get("allow_pickle") != "False":
        yield f"{name} without allow_pickle=False"
    if name.startswith("yaml.") and name.removeprefix("yaml.") in YAML_LOADERS:
        yield f"{name} follows tags and aliases"


def narrows(node: ast.Assert) -> bool:
    """Say whether an assertion only tells a type checker that something is not None."""
    match node.test:
        case ast.Compare(ops=[ast.IsNot()], comparators=[ast.Constant(value=None)]):
            return True
    return False


@pytest.mark.parametrize("package", PACKAGES)
def test_our_own_source_does_nothing_of_the_kind(package):
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    wrong = {str(file.relative_to(ROOT)): found(file.read_text(encoding="utf-8"), package) for file in files}
    assert {name: lines for name, lines in wrong.items() if lines} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import joblib.memory",
        "from dill import loads",
        "from cloudpickle import load as l",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path)",
        "numpy.load(path, allow_pickle=True)",
        "yaml.load(text, Loader)",
        "yaml.unsafe_load(text)",
        "yaml.full_load(text)",
        "from yaml import full_load",
        "from os import system",
        "eval(text)",
        "exec(text)",
        "os.system(text)",
        "subprocess.run(text, shell=True)",
        "subprocess.run(text, shell=flag)",
        "try:\n    f()\nexcept AssertionError:\n    pass",
        "try:\n    f()\nexcept (ValueError, AssertionError):\n    pass",
        "assert x",
        "assert x is None",
        "assert x > 1",
    ],
)
def test_each_of_these_would_be_found(source):
    assert len(found(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(path, weights_only=True)",
        "np.load(path, allow_pickle=False)",
        "yaml.parse(text, Loader=yaml.SafeLoader)",
        "subprocess.run(words, shell=False)",
        "model.eval()",
        "pool.load(tensors)",
        "assert x is not None",
        'assert x, "what cannot happen"',
    ],
)
def test_none_of_these_is_found(source):
    assert found(source) == []


def test_an_assert_with_a_message_is_a_guard_too_where_files_are_read():
    assert found('assert x, "what a file can make happen"', "archive_store") == ["line 1: assert is a guard"]
    assert found("assert x is not None", "archive_store") == []
