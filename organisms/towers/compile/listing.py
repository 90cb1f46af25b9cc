"""The operations of a module as a graph, in which some of its modules stay whole.

A module whose operations cannot be listed stays whole too, and is called as ever: it branches on data, has hooks,
caches tensors, switches gradients, draws random numbers and goes by them. Only the outermost one must be listed.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from torch import fx, nn

from organisms.towers.compile.call import Call, Form
from organisms.towers.router import BaseRouter
from organisms.towers.wide.groups.signature import own_objection
from organisms.towers.wide.groups.vectorised import UnbatchableError, template
from organisms.towers.wide.operations.trace import Contexts, Tracer
from organisms.towers.wide.randomness import DRAWS, states, untouched


@dataclass(frozen=True, slots=True)
class Listing:
    """The operations of a call of a module.

    Parameters
    ----------
    graph
        Its nodes; the paths of modules begin with "module".
    opaque
        Why modules could not be listed and are called as they are, by their paths in the module.
    """

    graph: fx.Graph
    opaque: Mapping[str, str]


class Lister(Tracer):
    """Follows a module down to torch's own modules and to those that stay whole, and knows where it is.

    Parameters
    ----------
    root
        The call that is traced.
    whole
        The modules that stay whole.
    """

    def __init__(self, root: nn.Module, whole: set[nn.Module]) -> None:
        super().__init__()
        self._known, self._whole = set(root.modules()), whole
        self.inside = [root]

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is one operation."""
        return m in self._whole or super().is_leaf_module(m, module_qualified_name)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Return what a call of a module gives.

        Parameters
        ----------
        m, forward, args, kwargs
            As of ``torch.fx.Tracer``.

        Raises
        ------
        UnbatchableError
            If the module is part of no other one, or draws random numbers while it is listed.
        """
        if m not in self._known:
            raise UnbatchableError("it calls modules that are not registered, but kept in a list or mapping")
        self.inside.append(m)
        before = states()
        found = super().call_module(m, forward, args, kwargs)
        if states() != before:
            raise UnbatchableError(DRAWS)
        self.inside.pop()  # not where an exception leaves it: what it is inside of is to blame
        return found


def listed(module: nn.Module, form: Form, whole: Collection[str]) -> Listing:
    """Return the operations of a call.

    Parameters
    ----------
    module
        The module, which nothing happens to: a copy without numbers is traced.
    form
        How it is called.
    whole
        The paths of modules that stay whole.

    Raises
    ------
    UnbatchableError
        If the outermost operations cannot be listed.
    """
    opaque: dict[str, str] = {}
    while True:
        found = _attempt(module, form, [*whole, *opaque])
        if isinstance(found, fx.Graph):
            return Listing(found, opaque)
        path, reason = found
        if not path:
            raise UnbatchableError(reason)
        opaque[path] = reason


def _attempt(module: nn.Module, form: Form, whole: Collection[str]) -> fx.Graph | tuple[str, str]:
    """Return the graph, or the path of what has to stay whole and why."""
    copied = template(module)
    root = Call(copied, form)
    paths = {each: path for path, each in copied.named_modules()} | {root: ""}
    kept = {copied.get_submodule(path) for path in whole}
    below = {each for one in kept for each in one.modules()}
    for each, path in paths.items():
        if each not in below and (reason := own_objection(each)):
            return path, f"it {reason}"
    lister = Lister(root, kept)
    try:
        with Contexts(), untouched():
            graph = lister.trace(root)
    except Exception as error:  # whatever a user's code does when it meets a stand-in for a tensor
        return paths[lister.inside[-1]], _reason(error)
    for each, path in paths.items():
        if isinstance(each, BaseRouter) and each.cache_keys():
            return path, "its forward pass caches tensors for others"
    return graph


def _reason(error: Exception) -> str:
    text = str(error).partition("\n")[0]
    if isinstance(error, UnbatchableError):
        return text
    return f"its operations cannot be listed: {type(error).__name__}: {text}"
