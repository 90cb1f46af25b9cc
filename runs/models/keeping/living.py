"""An organism as a plain module: its living components alone, as parameters, between the interface of its run.

Shape suffixes: B examples, S tokens, n living components of a layer.
"""

import copy
import keyword
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kernels.exporting import exporting
from organisms.pool import Pool
from organisms.residual.organism import ResidualOrganism
from organisms.species import Organism

T = TypeVar("T")


class LivingPool(Pool):
    """The slots of a pool that live, without those that do not.

    Nothing is born or dies in it.

    Parameters
    ----------
    pool
        What they are taken from; it is not changed.
    """

    def __init__(self, pool: Pool) -> None:
        living = [pool.living(layer) for layer in range(pool.depth)]
        super().__init__(pool.family, (), pool.depth, max(1, *map(len, living)))
        self.components: list[list[Mapping[str, Tensor]]] = []  # of each layer, their arrays by name
        for layer, slots in enumerate(living):
            places = [layer * pool.capacity + slot for slot in slots]
            for place, slot in enumerate(places):
                self.occupants[layer * self.capacity + place] = pool.occupants[slot]
            arrays = [pool.genome(slot).arrays for slot in places]
            self.components.append(
                [{name: torch.from_numpy(each) for name, each in own.items()} for own in arrays]
            )
        self.stacks = dict.fromkeys(pool.stacks, torch.zeros(0))  # their names

    def kept(self, layer: int, name: Hashable, made: Callable[[], T]) -> T:
        """Return what is made of a layer's occupants; what is recorded has it as constants of its own.

        Parameters
        ----------
        layer, name, made
            As in `Pool.kept`.
        """
        return made() if exporting() else super().kept(layer, name, made)

    def layers(self, name: str) -> tuple[Tensor, ...]:
        """Return one array of all components as a tensor [n, ...] for each layer, as large as the largest of them."""
        return tuple(_stacked([own[name] for own in components]) for components in self.components)


class OrganismModel(nn.Module):
    """The network of an organism, without dead slots and without padding: ``outputs = forward(tokens)``.

    Its parameters are the interface, ``interface.NAME``, which the run froze and which so asks for no gradient, and
    those of the living components, ``layers.LAYER.NUMBER.NAME``, in the order of their slots and in their own sizes.

    Parameters
    ----------
    organism
        As `runs.results.best.organism_of` gives it; it is not changed.

    Raises
    ------
    ValueError
        If it is of a family of the user's own that is no `ResidualOrganism`.
    """

    def __init__(self, organism: Organism) -> None:
        super().__init__()
        if not isinstance(organism, ResidualOrganism):
            raise ValueError(
                f"a {type(organism).__name__} is no organisms.residual.organism.ResidualOrganism, which alone can be "
                "taken out of a run"
            )
        pool = LivingPool(organism.pool)
        self._names = {_attribute(name): name for name in (*organism.interface, *organism.pool.stacks)}
        self.interface = nn.ParameterDict(
            {
                _attribute(name): nn.Parameter(each.detach().clone(), requires_grad=False)
                for name, each in organism.interface.items()
            }
        )
        self.layers = nn.ModuleList(
            nn.ModuleList(
                nn.ParameterDict(
                    # What has no numbers, as the attention of a tower without, can have no gradient.
                    {
                        _attribute(name): nn.Parameter(each, requires_grad=each.numel() > 0)
                        for name, each in own.items()
                    }
                )
                for own in components
            )
            for components in pool.components
        )
        whole = copy.copy(organism)
        whole._modules = {}
        whole.interface, pool.components = {}, []
        if hasattr(whole, "compact"):
            setattr(whole, "compact", True)  # noqa: B010 - an attribute of one family
        # In a tuple, so that it is no module of this one: its tensors are the parameters above.
        self._organism = (whole, pool)
        self._on_device: tuple[str, ...] = tuple(
            name for name, value in vars(whole).items() if isinstance(value, Tensor)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the outputs, [B, outputs] or [B, S, outputs], of the task of the run.

        Parameters
        ----------
        tokens
            Of B examples: float [B, S, features], or int64 [B, S].
        """
        whole, pool = (copy.copy(each) for each in self._organism)
        whole._modules = {}  # which a copy shares
        pool.components = [[self._named(own) for own in layer.children()] for layer in self.layers]
        whole.pool, whole.interface = pool, self._named(self.interface)
        return cast(Tensor, whole(tokens))

    def _named(self, parameters: nn.Module) -> dict[str, Tensor]:
        return {self._names[name]: each for name, each in parameters.named_parameters()}

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "OrganismModel":
        super()._apply(fn, recurse)
        whole, pool = self._organism
        for name in self._on_device:
            setattr(whole, name, fn(getattr(whole, name)))
        pool.counts, pool._kept = fn(pool.counts), {}
        return self


def _stacked(arrays: Sequence[Tensor]) -> Tensor:
    """Return arrays as one, [n, ...], the smaller filled up with zeros at the ends of their axes."""
    if not arrays:
        return torch.zeros(0)
    sizes = [max(axis) for axis in zip(*(array.shape for array in arrays), strict=True)]
    filled = []
    for array in arrays:
        missing = [size - own for size, own in zip(sizes, array.shape, strict=True)]
        ends = [number for lack in reversed(missing) for number in (0, lack)]
        filled.append(F.pad(array, ends) if any(missing) else array)
    return torch.stack(filled)


def _attribute(name: str) -> str:
    own = name.replace(".", "_")
    return f"{own}_" if keyword.iskeyword(own) else own  # what is recorded becomes Python
