"""What a module holds: each part once, with all of its paths, and modules that nobody has registered."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from organisms.towers.compile.categories import category
from organisms.towers.storage import leaves
from organisms.towers.wide.groups.signature import settings


@dataclass(frozen=True, slots=True)
class Part:
    """A module within another one.

    Parameters
    ----------
    path
        Its first name in `named_modules`; "" is the module itself.
    kind
        The name of its class.
    category
        As `category` returns it.
    parameters
        How many numbers it learns by itself, without those of its parts.
    also
        Its further paths, if it stands in several places.
    """

    path: str
    kind: str
    category: str
    parameters: int
    also: tuple[str, ...] = ()


def parts(module: nn.Module) -> tuple[Part, ...]:
    """Return a module and all that it holds, each once."""
    paths: dict[nn.Module, list[str]] = {}
    for path, each in module.named_modules(remove_duplicate=False):
        paths.setdefault(each, []).append(path)
    return tuple(
        Part(
            first,
            type(each).__name__,
            category(each),
            sum(p.numel() for p in each.parameters(recurse=False)),
            tuple(others),
        )
        for each, (first, *others) in paths.items()
    )


def unregistered(module: nn.Module) -> Iterator[str]:
    """Yield the places of modules in lists and mappings, whose parameters neither optimizers nor `to` know of."""
    known = set(module.modules())
    for path, each in module.named_modules():
        for key, value in settings(each):
            if any(isinstance(leaf, nn.Module) and leaf not in known for leaf in leaves(value)):
                yield f"{path}.{key}".lstrip(".")
