"""A fact far back that is asked for at the end: a key and its value among symbols that say nothing."""

import torch
from torch import Tensor

FILLERS, KEYS, VALUES = 16, 4, 8
VOCABULARY = FILLERS + KEYS + VALUES
CHANCE = 1 / VALUES


def needles(
    sequences: int, length: int, distances: tuple[int, int], stream: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return sequences [N, S] that end with their key, and the value [N] that followed it, counted from 0.

    The value stands at one of the distances, the first to the last, before the end.
    """
    ids = torch.randint(FILLERS, (sequences, length), generator=stream)
    keys = FILLERS + torch.randint(KEYS, (sequences,), generator=stream)
    values = torch.randint(VALUES, (sequences,), generator=stream)
    first, last = distances
    places = length - 1 - torch.randint(first, last + 1, (sequences,), generator=stream)
    rows = torch.arange(sequences)
    ids[rows, places - 1], ids[rows, places] = keys, FILLERS + KEYS + values
    ids[:, -1] = keys
    return ids, values


def answers(logits: Tensor) -> Tensor:
    """Return the value that is answered with at the end of each sequence, of logits [N, S, V]."""
    return logits[:, -1, FILLERS + KEYS :].argmax(-1)
