"""Who descended from whom: the best elites and their ancestors, by the round of their birth."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from analysis import style

BEST = 12  # elites whose ancestry is drawn
ROWS = 44  # components in one picture: more cannot be read
_SECOND: dict[str, Any] = {
    "color": style.PURPLE,
    "linewidth": 1.1,
    "linestyle": (0, (3, 2)),
    "marker": "o",
    "markersize": 3.5,
    "markevery": [0],  # at the parent
}


@dataclass(frozen=True, slots=True)
class Node:
    """One component of a lineage tree; ids are texts "organism.born.slot"."""

    component: str
    parents: tuple[str, ...]
    born: int  # round
    last: int  # round in which it was last seen alive

    @property
    def birth_order(self) -> tuple[int, ...]:
        """Earlier births first, then the smaller organism and slot."""
        organism, born, slot = map(int, self.component.split("."))
        return born, organism, slot


def nodes(records: pd.DataFrame, children: pd.DataFrame) -> dict[str, Node]:
    """Return every component that was ever recorded, by id.

    Parameters
    ----------
    records
        One row per living component and round: ``component``, ``parents``, ``born``, ``round``.
    children
        One row per child of an emitter, which never lived: ``component``, ``parents``, ``round``.
    """
    columns = ["component", "parents", "born", "round"]
    parts = [records[columns], children.assign(born=children["round"])[columns]]
    lives = (
        pd.concat([part for part in parts if len(part)] or parts[:1])
        .groupby("component", sort=True)
        .agg(parents=("parents", "first"), born=("born", "first"), last=("round", "max"))
    )
    rows = zip(lives.index, lives["parents"], lives["born"], lives["last"], strict=True)
    return {
        str(name): Node(str(name), tuple(parents), int(born), int(last)) for name, parents, born, last in rows
    }


def best(elites: pd.DataFrame, count: int = BEST) -> pd.DataFrame:
    """Return the best cell of each of the best components: best first, ties by cell."""
    ranked = elites.sort_values(["objective", "cell"], ascending=[False, True])
    return ranked.drop_duplicates("component").head(count)


def ancestors(component: str, known: Mapping[str, Node]) -> list[str]:
    """Return a component and all its recorded ancestors, nearest first."""
    found, seen = [component], {component}
    for name in found:  # grows while it is read
        for parent in known[name].parents if name in known else ():
            if parent in known and parent not in seen:
                found.append(parent)
                seen.add(parent)
    return found


def pedigree(components: Sequence[str], known: Mapping[str, Node], rows: int = ROWS) -> dict[str, Node]:
    """Return components with their ancestors, the first components first, until the rows are used up.

    A component whose ancestry does not fit any more ends the list; of the first one, the ancestors that
    are nearest in generations are kept.

    Parameters
    ----------
    components
        Ids, the most important first; those without a record are left out.
    known
        Every recorded component by id.
    rows
        At most how many components to return.
    """
    chosen: dict[str, Node] = {}
    for component in components:
        if component not in known:
            continue
        line = [name for name in ancestors(component, known) if name not in chosen]
        if chosen and len(chosen) + len(line) > rows:
            break
        chosen |= {name: known[name] for name in line[:rows]}
    return chosen


def order(tree: Mapping[str, Node]) -> list[str]:
    """Return the ids of a tree as rows such that no line from a first parent to its child crosses a life.

    Founders come in order of birth; below each parent its children with theirs, the youngest child first:
    the line down to an older child then passes where the younger ones had not begun.
    """
    children: dict[str, list[str]] = {name: [] for name in tree}
    roots: list[str] = []
    for name, node in tree.items():
        siblings = roots if not node.parents else children.get(node.parents[0], roots)
        siblings.append(name)

    def below(name: str) -> Iterator[str]:
        pending = [name]
        while pending:
            current = pending.pop()
            yield current
            pending += sorted(children[current], key=lambda child: tree[child].birth_order)

    return [name for root in sorted(roots, key=lambda name: tree[name].birth_order) for name in below(root)]


def lineage(
    elites: pd.DataFrame,
    records: pd.DataFrame,
    children: pd.DataFrame,
    axes: Axes,
    count: int = BEST,
    rows: int = ROWS,
) -> Axes:
    """Draw the tree of the best elites: one row per component, from its birth to the last of its children.

    A thick line is a life (a child of an emitter, which its name says, has none), a thin one goes on where only the
    archived genome had children. A line down leads from the first parent to the child, at the child's birth; a dashed
    one from a second parent. A coloured point is a component that holds a cell, at the round in which it was measured
    as such; the best have their names in bold.

    Parameters
    ----------
    elites
        One row per filled cell: ``cell``, ``component``, ``round``, ``objective``.
    records
        One row per living component and round: ``component``, ``parents``, ``born``, ``round``.
    children
        One row per child of an emitter: ``component``, ``parents``, ``round``, ``emitter``.
    axes
        Where to draw.
    count
        How many elites, best first, of distinct components.
    rows
        At most how many components to draw; fewer elites are shown where their ancestors are many.
    """
    if elites.empty:
        return style.message(axes, style.EMPTY_SO_LOOK)
    top = best(elites, count)
    tree = pedigree(list(top["component"]), nodes(records, children), rows)
    places = {name: row for row, name in enumerate(order(tree))}
    for name, node in tree.items():
        _life(node, tree, places[name], axes)
        _descent(node, tree, places, axes)
    ranked = best(elites, len(elites))
    shown = ranked[ranked["component"].isin(list(places))]
    _elites(shown, places, style.objective_norm(shown["objective"]), axes)
    emitters = dict(zip(children["component"], children["emitter"], strict=True))
    _frame(places, emitters, set(top["component"]), axes)
    style.round_axis(axes, pd.Series([0, records["round"].max()]), "round (0: founders)")
    return axes


def _life(node: Node, tree: Mapping[str, Node], row: int, axes: Axes) -> None:
    births = [other.born for other in tree.values() if node.component in other.parents]
    axes.plot(
        [node.born, max([node.last, *births])],
        [row, row],
        color=style.GREY,
        lw=0.7,
        solid_capstyle="butt",
        zorder=1,
    )
    axes.plot([node.born, node.last], [row, row], color=style.EMPTY, lw=4, solid_capstyle="butt", zorder=2)
    axes.plot(node.born, row, marker="|", ms=7, mew=1.2, color=style.INK, zorder=3)


def _descent(node: Node, tree: Mapping[str, Node], places: Mapping[str, int], axes: Axes) -> None:
    own = places[node.component]
    for index, parent in enumerate(dict.fromkeys(node.parents)):
        if parent not in tree:
            continue
        span = ([node.born, node.born], [places[parent], own])
        if index == 0:
            axes.plot(*span, color=style.INK, linewidth=0.8, zorder=2.5)
        else:  # behind the lives and beside the first parent's line
            aside = axes.transData + ScaledTranslation(-3 / 72, 0, axes.figure.dpi_scale_trans)
            axes.plot(*span, transform=aside, zorder=1.5, **_SECOND)
            axes.plot(node.born, places[parent], transform=aside, zorder=3, **_SECOND)


def _elites(shown: pd.DataFrame, places: Mapping[str, int], norm: Normalize, axes: Axes) -> None:
    rows = [places[name] for name in shown["component"]]
    colours = shown["objective"].to_numpy(dtype=float)
    axes.scatter(
        shown["round"], rows, c=colours, cmap=style.OBJECTIVE_MAP, norm=norm, s=34, edgecolors="white",
        linewidths=0.6, zorder=4,
    )  # fmt: skip
    style.objective_scale(norm, axes, location="right", shrink=0.6, aspect=30, pad=0.02)


def _frame(places: Mapping[str, int], emitters: Mapping[str, str], top: set[str], axes: Axes) -> None:
    names = [
        f"{name} {style.drawable(emitters[name].rpartition(':')[2], 12)}" if name in emitters else name
        for name in places
    ]
    axes.set_yticks(list(places.values()), names)
    for tick, name in zip(axes.get_yticklabels(), places, strict=True):
        tick.set_fontweight("bold" if name in top else "normal")
        tick.set_color(style.INK if name in top else style.GREY)
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    axes.set_ylim(max(len(places) - 0.3, 0.7), -0.7)
    axes.spines["left"].set_visible(False)
    axes.set_ylabel("component\n(organism.round of birth.slot)")
    style.legend_above(axes, columns=5, handles=_legend())


def _legend() -> list[Line2D]:
    return [
        Line2D(
            [],
            [],
            ls="",
            marker="o",
            ms=6,
            mew=0,
            color=style.OBJECTIVE_MAP(0.6),
            label="elite, when measured",
        ),
        Line2D([], [], color=style.EMPTY, lw=4, label="alive"),
        Line2D([], [], color=style.GREY, lw=0.7, label="genome only"),
        Line2D([], [], color=style.INK, lw=0.8, label="first parent"),
        Line2D([], [], label="second parent", **_SECOND),
    ]
