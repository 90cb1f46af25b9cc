"""The stages of a module: the largest modules in it that can be computed together, and what is left."""

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from organisms.towers.compile.call import Form
from organisms.towers.compile.listing import Listing, listed
from organisms.towers.compile.readers import Calls, hindrance, left_because, path_of, readers
from organisms.towers.compile.stage import Stage, stage
from organisms.towers.wide.groups.signature import objection, signature


@dataclass(frozen=True, slots=True)
class Staging:
    """What has been found out about one way to call a module.

    Parameters
    ----------
    listing
        Its operations.
    together
        The calls of each stage that is computed together.
    stages
        All stages, those first.
    """

    listing: Listing
    together: tuple[Calls, ...]
    stages: tuple[Stage, ...]


def staged(module: nn.Module, form: Form) -> Staging:
    """Return the stages of a module that is called in some form.

    Modules of one structure are tried from the outside to the inside: those that are left are opened, and what is in
    them is tried.

    Raises
    ------
    UnbatchableError
        If its operations cannot be listed.
    """
    repeated = Repeated(module)
    whole, left = list(repeated.below(module)), list[Stage]()
    while True:
        listing = listed(module, form, whole)
        found = [(calls, hindrance(calls, module)) for calls in readers(listing.graph, repeated.structures)]
        together = _apart([calls for calls, reason in found if reason is None])
        taken = {path_of(call) for calls in together for call in calls}
        rest = [path for path in whole if path not in taken]
        hindered = {
            path_of(call): reason or "others of them are computed together elsewhere"
            for calls, reason in found
            for call in calls
        }
        left += _left(rest, repeated, listing, hindered)
        if not rest:
            break
        inner = [each for path in rest for each in repeated.below(module.get_submodule(path))]
        whole = [*(path for path in whole if path in taken), *dict.fromkeys(inner)]
    stages = [stage([path_of(call) for call in calls], module) for calls in together]
    return Staging(listing, tuple(together), (*stages, *left))


class Repeated:
    """The modules with parameters whose structure another one has too, without those that must be called as they are.

    Parameters
    ----------
    module
        What holds them.

    Attributes
    ----------
    structures
        Their structures by their first paths.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        learning = {
            path: each
            for path, each in module.named_modules()
            if path and any(True for _ in each.parameters()) and not objection(each)
        }
        known = {path: signature(each) for path, each in learning.items()}
        count = Counter(known.values())
        self.structures: dict[str, Hashable] = {path: each for path, each in known.items() if count[each] > 1}
        self._paths = {each: path for path, each in learning.items()}

    def below(self, module: nn.Module) -> Iterator[str]:
        """Yield the paths of those in a module that no other one of them stands between."""
        for child in module.children():
            path = self._paths.get(child)
            if path in self.structures:
                yield path
            else:
                yield from self.below(child)


def _apart(stages: Sequence[Calls]) -> list[Calls]:
    """Return stages of which no two have some of their modules in common, and others not: a module has one stack."""
    company: dict[str, list[str]] = {}
    kept = []
    for calls in stages:
        paths = sorted(map(path_of, calls))
        if all(company.get(path, paths) == paths for path in paths):
            company |= dict.fromkeys(paths, paths)
            kept.append(calls)
    return kept


def _left(
    paths: Sequence[str], repeated: Repeated, listing: Listing, hindered: dict[str, str]
) -> Iterator[Stage]:
    """Yield a stage for the modules of each structure that are left as they are, or opened."""
    kinds: dict[Hashable, list[str]] = {}
    for path in paths:
        kinds.setdefault(repeated.structures[path], []).append(path)
    for each in kinds.values():
        reason = next((hindered[path] for path in each if path in hindered), None)
        closed = next(
            (f"{o} is called as it is: {why}" for o, why in listing.opaque.items() if _in(each[0], o)), None
        )
        yield stage(each, repeated.module, reason or closed or left_because(each, listing.graph))


def _in(path: str, other: str) -> bool:
    return path.startswith(f"{other}.")
