import pandas as pd
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes

from analysis import lineage, style
from analysis.lineage import Node
from archive_store import frames
from archive_store.reading import Run

Tree = dict[str, Node]
NO_CHILDREN = frames.children([], ())


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Components in order of birth, each of earlier ones or a founder."""
    found: Tree = {}
    for slot in range(draw(st.integers(1, 25))):
        older = sorted(name for name, node in found.items() if node.born < slot)
        parents = draw(st.lists(st.sampled_from(older), max_size=2)) if older else []
        born = slot if parents else 0
        name = f"{draw(st.integers(0, 3))}.{born}.{slot}"
        found[name] = Node(name, tuple(parents), born, draw(st.integers(max(born, 1), 30)))
    return found


@given(trees())
def test_no_line_of_descent_crosses_a_life(tree: Tree) -> None:
    rows = lineage.order(tree)
    assert sorted(rows) == sorted(tree)
    for row, name in enumerate(rows):
        for parent in tree[name].parents[:1]:
            assert rows.index(parent) < row
            between = rows[rows.index(parent) + 1 : row]
            # who begins in the same round only touches the line, and must be a sibling
            assert all(tree[other].born >= tree[name].born for other in between)


@given(trees(), st.integers(1, 30))
def test_pedigrees_hold_whole_ancestries(known: Tree, rows: int) -> None:
    chosen = lineage.pedigree(sorted(known), known, rows)
    assert 1 <= len(chosen) <= rows
    first = sorted(known)[0]
    assert first in chosen
    if len(lineage.ancestors(first, known)) <= rows:
        assert all(parent in chosen for node in chosen.values() for parent in node.parents)


@given(trees())
def test_ancestors_are_the_transitive_closure(known: Tree) -> None:
    for name in known:
        closure, new = {name}, {name}
        while new:
            new = {parent for child in new for parent in known[child].parents} - closure
            closure |= new
        found = lineage.ancestors(name, known)
        assert set(found) == closure
        assert len(found) == len(closure)


def test_unrecorded_ancestors_are_left_out() -> None:
    known = {"0.3.1": Node("0.3.1", ("0.0.1", "1.0.0"), 3, 4)}
    assert lineage.ancestors("0.3.1", known) == ["0.3.1"]
    assert lineage.pedigree(["9.9.9", "0.3.1"], known) == known


def test_best_takes_each_component_once() -> None:
    elites = pd.DataFrame(
        {"cell": [0, 1, 2, 3], "component": ["a", "b", "a", "c"], "objective": [0.5, 0.9, 0.9, 0.1]}
    )
    assert list(lineage.best(elites, 2)["cell"]) == [1, 2]


def test_nodes_know_birth_and_last_sight(run: Run) -> None:
    records = run.records()
    known = lineage.nodes(records, NO_CHILDREN)
    assert set(known) == set(records["component"])
    for name, node in known.items():
        own = records[records["component"] == name]
        assert (node.born, node.last) == (int(name.split(".")[1]), own["round"].max())
        assert node.parents == own["parents"].iloc[0]


def test_rows_are_named_and_the_best_are_bold(run: Run, axes: Axes) -> None:
    elites, records = run.elites(), run.records()
    lineage.lineage(elites, records, NO_CHILDREN, axes, count=3)
    bold = {text.get_text() for text in axes.get_yticklabels() if text.get_fontweight() == "bold"}
    assert bold == set(lineage.best(elites, 3)["component"])
    points = axes.collections[0]
    names = [text.get_text() for text in axes.get_yticklabels()]
    holders = elites[elites["component"].isin(names)]
    assert len(points.get_offsets()) == holders["component"].nunique()
    assert points.get_array().max() == elites["objective"].max()


def test_empty_archive_says_so(run: Run, axes: Axes) -> None:
    lineage.lineage(run.elites()[:0], run.records(), run.children(), axes)
    assert [text.get_text() for text in axes.texts] == [style.EMPTY_SO_LOOK]


def test_children_of_emitters_have_their_place_and_say_whose_they_are(axes: Axes) -> None:
    """A founder has a child by an emitter, which has another, and that one is born into an organism."""
    records = pd.DataFrame(
        {
            "component": ["0.0.0", "0.0.0", "1.5.2"],
            "parents": [(), (), ("9.4.1",)],
            "born": [0, 0, 5],
            "round": [1, 2, 5],
        }
    )
    children = pd.DataFrame(
        {
            "component": ["8.3.0", "9.4.1"],
            "parents": [("0.0.0",), ("8.3.0", "0.0.0")],
            "round": [3, 4],
            "emitter": ["gradient", "mine:own"],
        }
    )
    elites = pd.DataFrame(
        {"cell": [1, 2], "component": ["9.4.1", "1.5.2"], "round": [4, 5], "objective": [0.5, 0.4]}
    )
    known = lineage.nodes(records, children)
    assert known["8.3.0"] == Node("8.3.0", ("0.0.0",), 3, 3)
    assert lineage.ancestors("1.5.2", known) == ["1.5.2", "9.4.1", "8.3.0", "0.0.0"]
    lineage.lineage(elites, records, children, axes)
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["0.0.0", "8.3.0 gradient", "9.4.1 own", "1.5.2"]
