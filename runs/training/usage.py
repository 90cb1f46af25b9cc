"""How much of the probe split each component answers, in families that send a token to some of them only."""

from dataclasses import dataclass

import numpy as np

from organisms.species import Probe
from organisms.task import Task


@dataclass(frozen=True, slots=True)
class Usage:
    """Shares of tokens that one component answers, in [0, 1]."""

    load: float | None = None  # of all tokens; None where components answer every token
    by_kind: tuple[tuple[str, float], ...] = ()  # of the tokens of each kind of example that there is


def usage(task: Task, probe: Probe) -> list[Usage]:
    """Give the usage of every living slot on the probe split.

    ``load = tokens that it answers / tokens``, counted, not weighted. So the loads of a layer sum to the number of
    components that each token goes to: to k, or to all that live where they are fewer; and so they do for the
    tokens of each kind alone.

    Parameters
    ----------
    task
        Its labels are the kinds.
    probe
        A look at the whole probe split.
    """
    if probe.routed_tokens is None:
        return [Usage()] * len(probe.slots)
    answered_nP = probe.routed_tokens.cpu().numpy()
    labels = np.asarray(task.probe.labels)
    kinds = {name: labels == label for label, name in enumerate(task.labels)}
    return [
        Usage(
            _share(row_P, task),
            tuple((name, _share(row_P[own], task)) for name, own in kinds.items() if own.any()),
        )
        for row_P in answered_nP
    ]


def _share(answered: np.ndarray, task: Task) -> float:
    return int(answered.sum()) / (len(answered) * task.length)
