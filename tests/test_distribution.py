"""How the suite is shared out among processes, and that this does not decide what is tested."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fixtures.distribution import ByFile, grouped


def scope(nodeid):
    config = SimpleNamespace(getvalue=lambda name: ["popen"], option=SimpleNamespace(tx=["popen"]))
    return ByFile(config)._split_scope(nodeid)


def test_the_tests_of_a_file_stay_together_and_those_of_a_group_wherever_they_are():
    one, another = "tests/qd/test_a.py", "tests/runs/test_b.py"
    assert scope(f"{one}::test_x") == scope(f"{one}::TestY::test_z[a@b::c]") == one
    assert scope(f"{another}::test_x") == another
    assert scope(f"{one}::test_x@ray") == scope(f"{another}::TestY::test_z[1]@ray") == "ray"


def test_what_starts_ray_is_one_group_and_comes_first(request):
    names = ("first", "starts_ray", "last", "starts_another")
    items = [pytest.Function.from_parent(request.node.parent, name=name, callobj=scope) for name in names]
    for item in items[1::2]:
        item.add_marker(pytest.mark.ray)
    grouped(items)
    assert [item.name for item in items] == ["starts_ray", "starts_another", "first", "last"]
    groups = [[mark.args for mark in item.iter_markers("xdist_group")] for item in items]
    assert groups == [[("ray",)], [("ray",)], [], []]


def test_examples_do_not_depend_on_what_was_imported_before(tmp_path, monkeypatch):
    def examples():
        seen = []

        @given(st.tuples(st.integers(), st.text(), st.floats()))
        def look(values):
            seen.append(repr(values))

        look()
        return seen

    before = examples()
    later = ModuleType("module_that_came_later")
    later.__file__ = str(tmp_path / "module_that_came_later.py")
    Path(later.__file__).write_text("numbers, text = [123457, 0.0123457], 'a strange word'\n")
    monkeypatch.setitem(sys.modules, later.__name__, later)
    assert examples() == before
