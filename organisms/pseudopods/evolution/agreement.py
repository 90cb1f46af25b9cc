"""What the processes of a data-parallel training agree on, so that the same heads are born and die in all of them.

Gradients are averaged by then, so that what is computed of them is the same everywhere; losses and what is measured of
a batch are each process' own.
"""

import torch
from torch import Tensor
from torch import distributed as dist


def averaged_over_processes(values: Tensor) -> Tensor:
    """Return the mean of a tensor over all processes; the tensor itself where there is one."""
    if not _together():
        return values
    total = values.clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


def of_the_first_process(rows: list[list[float]], device: torch.device) -> list[list[float]]:
    """Return the numbers of the first process, float64; the others give rows of the same lengths.

    Parameters
    ----------
    rows
        This process' own.
    device
        Where the processes communicate.
    """
    if not _together():
        return rows
    values = torch.tensor(rows, dtype=torch.float64, device=device)
    dist.broadcast(values, 0)
    return values.tolist()


def _together() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
