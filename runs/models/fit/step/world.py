"""The processes that train one model together: each computes the gradients of its share of a step's examples."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class World:
    """One of the processes, among which sums are taken.

    Parameters
    ----------
    rank
        Its number, from 0; the first alone evaluates, writes and reports.
    size
        How many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that evaluates, writes and reports."""
        return self.rank == 0

    def sum(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the sums over all processes of tensors, whose names and shapes are the same in each."""
        if self.size == 1:
            return dict(values)
        names = sorted(values)
        device = values[names[0]].device
        exact = torch.float32 if device.type == "mps" else torch.float64
        flat = torch.cat([values[name].flatten().to(exact) for name in names])
        torch.distributed.all_reduce(flat)
        parts = flat.split([values[name].numel() for name in names])
        return {
            name: part.view_as(values[name]).to(values[name].dtype)
            for name, part in zip(names, parts, strict=True)
        }

    def parallel(self, model: nn.Module, device: torch.device, some_unused: bool) -> nn.Module:
        """Return a model whose gradients are averaged over all processes when they are computed.

        Parameters
        ----------
        model
            Alike in each process.
        device
            Where it is.
        some_unused
            Whether a forward pass may leave parameters out, which costs a walk through its graph.
        """
        if self.size == 1:
            return model
        return nn.parallel.DistributedDataParallel(
            model,
            device_ids=[device] if device.type == "cuda" else None,
            find_unused_parameters=some_unused,
        )


def unsynchronised(model: nn.Module, is_last: bool) -> AbstractContextManager[Any]:
    """Return the context of a micro-batch: all but the last of a step leave their gradients in this process."""
    if isinstance(model, nn.parallel.DistributedDataParallel) and not is_last:
        return model.no_sync()
    return nullcontext()
