"""Several fusions of the same opinions, blended or chosen among."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kernels import arguments
from organisms.towers.fusion.component import FusionComponent

BLEND, BEST = "blend", "best"


class FusionCollective(FusionComponent):
    """y = sum_s a_s y_s of fusions s with a = softmax(c), c learnt and 0 at first: their mean.

    The equation is ours: the documents say "multi-fusion ensemble with strategy selection".

    Parameters
    ----------
    name
        Name of the component.
    fusions
        By the name of their strategy; all of one `num_inputs`, `in_features` and output width.
    options
        `seed`, and options of `TorchComponent`.

    Raises
    ------
    ValueError
        If there is none or one of another type, they differ in size, or one is named as a selection is: "blend" or
        "best".
    """

    def __init__(self, name: str, fusions: Mapping[str, FusionComponent], **options: Any) -> None:
        arguments.instance(f"fusions of {name!r}", fusions, Mapping)
        for key, each in fusions.items():
            arguments.instance(f"fusion {key!r} of {name!r}", each, FusionComponent)
        sizes = {key: _sizes(each) for key, each in fusions.items()}
        if not sizes:
            raise ValueError(f"fusion collective {name!r} must have at least one fusion, but has none")
        first, expected = next(iter(sizes.items()))
        for key, found in sizes.items():
            if found != expected:
                raise ValueError(
                    f"fusions of {name!r} must have one num_inputs, in_features and output width, but {first!r} has "
                    f"{expected} and {key!r} {found}"
                )
            if key in (BLEND, BEST):
                raise ValueError(
                    f"no fusion of {name!r} may be named {key!r}, which selects among all of them"
                )
        super().__init__(name, *expected[:2], **options)
        self.fusions = nn.ModuleDict(dict(fusions))
        self.preference = nn.Parameter(torch.zeros(len(fusions)))

    @property
    def best(self) -> str:
        """The strategy of the largest weight; of equal ones the first."""
        return list(self.fusions)[int(self.preference.argmax())]

    def fuse(self, opinions: Float[Tensor, "N *batch D"], strategy: str = BLEND) -> Float[Tensor, "*batch E"]:
        """Return the blend of all fusions, or that of one strategy, whose name is `strategy` or which is the "best".

        Raises
        ------
        ValueError
            If there is no such strategy.
        """
        arguments.one_of("strategy", strategy, (BLEND, BEST, *self.fusions))
        fusions: dict[str, Any] = dict(self.fusions.items())
        if strategy != BLEND:
            return fusions[self.best if strategy == BEST else strategy].fuse(opinions)
        fused = torch.stack([each.fuse(opinions) for each in fusions.values()])
        return torch.einsum("s...,s->...", fused, self.preference.softmax(0))


def _sizes(fusion: FusionComponent) -> tuple[int, int, int]:
    return fusion.num_inputs, fusion.in_features, getattr(fusion, "out_features", fusion.in_features)
