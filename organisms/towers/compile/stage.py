"""Modules of one structure, and what becomes of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from organisms.towers.compile.categories import category


@dataclass(frozen=True, slots=True)
class Stage:
    """Modules of one structure that are computed together, or left as they are.

    Parameters
    ----------
    paths
        Where they are.
    kind
        The name of their class.
    category
        What they are for.
    reason
        Why they are left as they are; None: they are computed together.
    """

    paths: tuple[str, ...]
    kind: str
    category: str
    reason: str | None = None

    @property
    def batched(self) -> bool:
        """Whether they are computed together."""
        return self.reason is None


def stage(paths: Sequence[str], module: nn.Module, reason: str | None = None) -> Stage:
    """Return the stage of some modules in a module.

    Parameters
    ----------
    paths
        Where they are.
    module
        What holds them.
    reason
        As of `Stage`.
    """
    first = module.get_submodule(paths[0])
    return Stage(tuple(paths), type(first).__name__, category(first), reason)


def text(stages: Sequence[Stage]) -> str:
    """Return a line for each stage, for people to read."""
    return "\n".join(map(_line, stages)) or "no module has the structure of another one"


def _line(stage: Stage) -> str:
    head = f"{len(stage.paths)} x {stage.kind} ({stage.category})"
    what = "together" if stage.reason is None else f"as they are, because {stage.reason}"
    return f"{head} {what}: {', '.join(stage.paths)}"
