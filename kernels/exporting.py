"""Whether what is computed is being recorded for use elsewhere, where it has to be plain operations of torch."""

import torch


def exporting() -> bool:
    """Whether `torch.export`, of which other formats are made, records what is computed.

    Such a program has no branch on numbers, knows none of our kernels and holds for sizes that are not known yet. Where
    this is so, operations take the path that is their definition, and checks of numbers are left out: whoever exports
    compares what came of it with what it was made of (`runs.models.exports`).
    """
    return torch.compiler.is_exporting()
