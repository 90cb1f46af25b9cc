"""The prefix cache: a radix tree over tokens whose edges hold what a model keeps of theirs.

A node is an edge: the tokens by which it goes on from its parent, and the part that belongs to them. A sequence that
leaves an edge in its middle cuts it in two. What has not been used for longest is evicted, leaf by leaf, so that what
others begin with stays longest; a node that is held (`match`) or has children is never evicted.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Part = TypeVar("Part")


@dataclass(slots=True, eq=False)
class Node(Generic[Part]):
    """Tokens that follow those of the parent, with their part; the root has neither."""

    tokens: tuple[Hashable, ...]
    part: Part | None
    parent: "Node[Part] | None"
    children: "dict[Hashable, Node[Part]]" = field(default_factory=dict)
    used: int = 0  # number of the use, not a time
    holders: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Held(Generic[Part]):
    """What was found of a sequence's beginning, and is not evicted until it is released.

    Parameters
    ----------
    node
        Where it ends.
    parts
        Of consecutive tokens, from the first on.
    length
        Tokens of all parts.
    """

    node: Node[Part]
    parts: tuple[Part, ...]
    length: int


class Prefixes(Generic[Part]):
    """A prefix cache with a limit of entries (nodes) and one of tokens, neither of which is ever exceeded.

    Parameters
    ----------
    max_entries, max_tokens
        The limits, from 0 on.
    cut
        From a part, a start and an end to the part of these of its tokens; a copy, which keeps nothing else alive.

    Raises
    ------
    ValueError
        If a limit is negative.
    """

    def __init__(self, max_entries: int, max_tokens: int, cut: Callable[[Part, int, int], Part]) -> None:
        if min(max_entries, max_tokens) < 0:
            raise ValueError(
                f"max_entries and max_tokens must be at least 0, but are {max_entries} and {max_tokens}"
            )
        self.max_entries, self.max_tokens, self._cut = max_entries, max_tokens, cut
        self._root: Node[Part] = Node((), None, None)
        self._uses = 0
        self.entries = 0
        self.tokens = 0
        self.evictions = 0

    def match(self, tokens: Sequence[Hashable]) -> Held[Part]:
        """Return the longest beginning of a sequence that is there, and hold it until `release`."""
        node, inside, length = self._walk(tokens)
        parts = [each.part for each in _path(node) if each.part is not None]
        if inside:
            node = node.children[tokens[length - inside]]
            assert node.part is not None
            parts.append(self._cut(node.part, 0, inside))
        self._use(node)
        node.holders += 1
        return Held(node, tuple(parts), length)

    def release(self, held: Held[Part]) -> None:
        """Let go of what was found; it may be evicted from now on.

        Raises
        ------
        ValueError
            If it is not held.
        """
        if held.node.holders < 1:
            raise ValueError("what is released must have been matched, and can be released once")
        held.node.holders -= 1

    def insert(self, tokens: Sequence[Hashable], take: Callable[[int, int], Part]) -> int:
        """Keep a sequence, or as much of its beginning as there is room for, and return how many tokens are kept.

        Parameters
        ----------
        tokens
            The sequence.
        take
            From a start and an end to a part of these of its tokens; asked for what is not there yet.
        """
        tokens = tuple(tokens)
        while True:
            node, inside, length = self._walk(tokens)
            self._use(node)
            if length == len(tokens):
                return length
            room = self.max_tokens - self.tokens
            entries = self.max_entries - self.entries
            if entries >= 1 + bool(inside) and room >= len(tokens) - length:
                break
            victim = self._victim(spared=node)
            if victim is not None:
                self._evict(victim)
            elif entries < 1 + bool(inside) or room < 1:
                return length
            else:
                tokens = tokens[: length + room]
        if inside:
            node = self._split(node.children[tokens[length - inside]], inside)
        own = tokens[length:]
        leaf = Node(own, take(length, len(tokens)), node)
        node.children[own[0]] = leaf
        self.entries += 1
        self.tokens += len(own)
        self._use(leaf)
        return len(tokens)

    def _walk(self, tokens: Sequence[Hashable]) -> tuple[Node[Part], int, int]:
        """Return the last node whose tokens all match, how many match of a child of it, and how many altogether."""
        node, length = self._root, 0
        while length < len(tokens) and (child := node.children.get(tokens[length])) is not None:
            common = _common(child.tokens, tokens, length)
            length += common
            if common < len(child.tokens):
                return node, common, length
            node = child
        return node, 0, length

    def _split(self, lower: Node[Part], at: int) -> Node[Part]:
        """Cut a node in two and return the upper half; the lower one stays the node that others may hold."""
        assert lower.part is not None
        assert lower.parent is not None
        upper = Node(lower.tokens[:at], self._cut(lower.part, 0, at), lower.parent, used=lower.used)
        lower.parent.children[upper.tokens[0]] = upper
        lower.part = self._cut(lower.part, at, len(lower.tokens))
        lower.tokens, lower.parent = lower.tokens[at:], upper
        upper.children[lower.tokens[0]] = lower
        self.entries += 1
        return upper

    def _victim(self, spared: Node[Part]) -> Node[Part] | None:
        leaves = [
            node for node in self._nodes() if not (node.children or node.holders) and node is not spared
        ]
        return min(leaves, key=lambda node: node.used, default=None)

    def _evict(self, node: Node[Part]) -> None:
        assert node.parent is not None
        del node.parent.children[node.tokens[0]]
        self.entries -= 1
        self.tokens -= len(node.tokens)
        self.evictions += 1

    def _nodes(self) -> Iterator[Node[Part]]:
        left = list(self._root.children.values())
        while left:
            node = left.pop()
            left.extend(node.children.values())
            yield node

    def _use(self, node: Node[Part]) -> None:
        self._uses += 1
        for each in _path(node):
            each.used = self._uses


def _path(node: Node[Part]) -> list[Node[Part]]:
    """Return the nodes from the root to this one."""
    path = [node]
    while path[-1].parent is not None:
        path.append(path[-1].parent)
    return path[::-1]


def _common(edge: Sequence[Hashable], tokens: Sequence[Hashable], start: int) -> int:
    length = min(len(edge), len(tokens) - start)
    return next((at for at in range(length) if edge[at] != tokens[start + at]), length)
