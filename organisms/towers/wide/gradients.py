"""What the gradients of towers look like after a backward pass; read from the parameters, so that nothing slows it."""

import math
from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

EXPLODED = 100.0  # times the median of all towers


class GradientDebugger:
    """Norms and anomalies of towers' gradients.

    Parameters
    ----------
    level
        0: off; 1: the norm of each tower; 2: those of its stages too, and anomalies.

    Raises
    ------
    ValueError
        If the level is another one.
    """

    def __init__(self, level: int = 0) -> None:
        if level not in (0, 1, 2):
            raise ValueError(
                f"gradient_debug_level must be 0 (off), 1 (towers) or 2 (stages too), but is {level!r}"
            )
        self.level = level

    def norms(self, towers: Mapping[str, nn.Module]) -> dict[str, float]:
        """Return the norm of each tower's gradient; the empty dict at level 0."""
        return {name: norm(tower.parameters()) for name, tower in towers.items()} if self.level else {}

    def stage_norms(self, towers: Mapping[str, nn.Module]) -> dict[str, list[float]]:
        """Return the norms of the gradients of each tower's stages; the empty dict below level 2."""
        if self.level < 2:
            return {}
        return {
            name: [norm(stage.parameters()) for stage in getattr(tower, "stages", ())]
            for name, tower in towers.items()
        }

    def anomalies(self, towers: Mapping[str, nn.Module]) -> dict[str, str]:
        """Return what is wrong by towers: "nan", "inf", "dead" or "exploding"; the empty dict below level 2."""
        norms = self.norms(towers) if self.level == 2 else {}
        finite = [each for each in norms.values() if math.isfinite(each) and each > 0]
        usual = median(finite) if finite else 0.0
        found = {name: _anomaly(towers[name], each, usual) for name, each in norms.items()}
        return {name: kind for name, kind in found.items() if kind}

    def report(self, towers: Mapping[str, nn.Module]) -> str:
        """Return a line for each tower."""
        if not self.level:
            return "gradient_debug_level is 0: nothing is recorded"
        stages, wrong = self.stage_norms(towers), self.anomalies(towers)
        return "\n".join(
            f"{name}: {each:.3e}{_listed(stages.get(name))}{_noted(wrong.get(name))}"
            for name, each in self.norms(towers).items()
        )


def norm(parameters: Iterable[nn.Parameter]) -> float:
    """Return the Euclidean norm of all gradients; those that are missing count as zero."""
    grads = [each.grad.detach() for each in parameters if each.grad is not None]
    return float(torch.nn.utils.get_total_norm(grads)) if grads else 0.0


def _anomaly(tower: nn.Module, size: float, usual: float) -> str:
    grads: list[Tensor] = [each.grad for each in tower.parameters() if each.grad is not None]
    if any(each.isnan().any() for each in grads):
        return "nan"
    if not math.isfinite(size):
        return "inf"
    if size == 0:
        return "dead" if any(each.requires_grad for each in tower.parameters()) else ""
    return "exploding" if size > EXPLODED * usual else ""


def _listed(norms: list[float] | None) -> str:
    return f" (stages {', '.join(f'{each:.3e}' for each in norms)})" if norms else ""


def _noted(value: Any) -> str:
    return f" - {value}" if value else ""
