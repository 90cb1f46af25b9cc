"""What can be told of groups of towers: how they were computed, and how their gradients are."""

from collections.abc import Sequence
from typing import Any

from organisms.towers.wide.executor import Executor
from organisms.towers.wide.gradients import GradientDebugger


def coverage(executors: Sequence[Executor]) -> dict[str, dict[str, float] | None]:
    """Return how many operations of each group are fused, None where wide primitives are not used, by its towers."""
    return {", ".join(each.towers): each.coverage() for each in executors}


def health(executors: Sequence[Executor]) -> dict[str, Any]:
    """Return the fused share of each group that wide primitives compute, and its towers' anomalies, by its towers."""
    watching = GradientDebugger(2)
    return {
        ", ".join(each.towers): {"coverage": found, "anomalies": watching.anomalies(each.towers)}
        for each in executors
        if (found := each.coverage()) is not None
    }


def stats(executors: Sequence[Executor]) -> dict[str, Any]:
    """Return what computed each group last, what AUTO has chosen, why a way was not possible, and what is fused."""
    fused = coverage(executors)
    return {
        "groups": [each.stats() for each in executors],
        "wide_primitive_groups": sum(each is not None for each in fused.values()),
        "fusion_coverage": fused,
    }
