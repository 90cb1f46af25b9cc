"""The operations of a tower as a graph (torch.fx), its caches included."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode

from organisms.towers.wide.groups.vectorised import UnbatchableError, taken
from organisms.towers.wide.randomness import unmoved


class Observed(nn.Module):
    """A tower whose caches are part of what it returns.

    Parameters
    ----------
    tower
        The tower.
    """

    def __init__(self, tower: nn.Module) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, x: Any) -> tuple[Any, dict[str, dict[str, Any]]]:
        """Return the opinion, and what has been cached by the paths of routers."""
        return self.tower(x), taken(self.tower)


class Tracer(fx.Tracer):
    """Follows components and towers down to torch's own modules, and refuses what a graph would hold as a constant."""

    proxy_buffer_attributes = True

    def create_arg(self, a: Any) -> Any:
        """Return an argument of an operation.

        Raises
        ------
        UnbatchableError
            For a tensor that the forward pass makes: the graph would keep the first one.
        """
        if isinstance(a, Tensor) and not isinstance(a, nn.Parameter):
            raise UnbatchableError("its forward pass makes tensors of its own")
        return super().create_arg(a)


class Contexts(TorchFunctionMode):
    """Refuses what a forward pass does besides operations and a graph would leave out: switching gradients.

    Raises
    ------
    UnbatchableError
        When it does.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        if func is torch._C._set_grad_enabled:
            raise UnbatchableError("its forward pass switches gradients on or off")
        return func(*args, **(kwargs or {}))


def traced(template: nn.Module) -> tuple[fx.Graph, nn.Module]:
    """Return the graph of a tower's forward pass and the module that its paths begin at.

    Raises
    ------
    UnbatchableError
        If the forward pass branches on data, or does what a graph cannot hold.
    """
    root = Observed(template)
    try:
        with Contexts(), unmoved():
            return Tracer().trace(root), root
    except UnbatchableError:
        raise
    except Exception as error:  # whatever a user's code does when it meets a stand-in for a tensor
        raise UnbatchableError(f"its operations cannot be listed: {type(error).__name__}: {error}") from error
    finally:
        taken(template)


def module_path(target: Any) -> str:
    """Return the path in the tower of what a node refers to."""
    return str(target).removeprefix("tower").removeprefix(".")
