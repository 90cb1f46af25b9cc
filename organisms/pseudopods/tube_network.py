"""A memory of tubes: what is stored is recalled in proportion to what its tube lets through.

Shape suffixes: B sequences, M tubes, K stores that gradients reach.
"""

from typing import Any

import torch
from torch import Tensor, nn

from kernels import arguments
from organisms.layers.checks import described
from organisms.pseudopods.checks import not_negative, whole
from organisms.pseudopods.tubes import TubeRules, Tubes, flow, taken

BUFFERS = ("content", "conductance", "flux")


class TubeNetwork(nn.Module):
    """A `Memory` of tensors, each sequence of a batch with tubes of its own: recall = sum_m Q_m content_m.

    Every store opens a tube in each sequence, of conductance `weight`, after the tubes of before have adapted to what
    flowed through them when they were last recalled: D <- decay D + (1 - decay) Q^exponent. Q and when tubes close are
    in `TubeRules` (Tero et al. 2007). Recalling is what uses them, once for each store: recalled twice, a memory
    returns the same and adapts as if it had been recalled the last time only.

    Gradients flow through `recall` into data and weights of the last K stores, and end there. They take how tubes
    thicken, thin and close as given.

    Tubes are buffers, which are saved, moved and copied with the module. A copy, or a module that was moved, gives no
    gradients to what was stored before.

    Parameters
    ----------
    decay
        Share of the conductance that stays where nothing flows, in [0, 1).
    capacity
        M, the tubes of a sequence at most.
    exponent
        Of the flux, in what it adds to the conductance.
    thinnest
        Conductance under which a tube closes.
    truncation
        K, from 0 on.

    Raises
    ------
    ValueError
        If one of them is another number. From then on, by ``load_state_dict``, if tubes are those of another memory.
    """

    content: Tensor | None
    conductance: Tensor | None
    flux: Tensor | None

    def __init__(
        self,
        decay: float,
        capacity: int,
        *,
        exponent: float = 1.0,
        thinnest: float = 0.01,
        truncation: int = 16,
    ) -> None:
        super().__init__()
        self.rules = TubeRules(decay, capacity, exponent, thinnest)
        self.truncation = whole("truncation", truncation, least=0)
        for name in BUFFERS:
            self.register_buffer(name, None)
        self._recent: tuple[tuple[Tensor, Tensor], ...] = ()  # the last K stores, in their graph
        self._origin: Tensor | None = None  # [B, M]: which of them each tube comes from; -1: none
        self.register_load_state_dict_pre_hook(_take_shape)

    def store(self, data: Tensor, weight: float | Tensor = 1.0) -> None:
        """Open a tube in each sequence.

        Parameters
        ----------
        data
            What it holds, [B, *shape], floating-point.
        weight
            Its conductance, from 0 on, one for all or [B]; 0: nothing is stored, but time passes.

        Raises
        ------
        ValueError
            If `data` has another shape, dtype or device than what is held; if a weight is negative or not finite.
        """
        self._check(data)
        weights = _weights(weight, data)
        tubes = self._tubes() or self.rules.none(data)
        with torch.no_grad():
            later, place = self.rules.opened(tubes, data.detach().unsqueeze(1), weights.unsqueeze(1))
        self.content, self.conductance, self.flux = later.content, later.conductance, later.flux
        self._remember(data, weights, place)

    def recall(self, query: Tensor | None = None) -> Tensor | None:
        """Return what flows out of the tubes, [B, *shape]; None before the first store.

        It is zero for a sequence all of whose tubes are closed.

        Parameters
        ----------
        query
            What is looked for, [B, *shape]: the fit of a tube is its product with what that holds, by the root of their
            size. None: all fit alike.

        Raises
        ------
        ValueError
            If a query has another shape, dtype or device than what is held.
        """
        if self.content is None:
            return None
        content, conductance = self._in_graph()
        fit = torch.zeros_like(conductance)
        if query is not None:
            self._check(query, "query")
            fit = (content * query.unsqueeze(1)).flatten(2).sum(-1) / query[0].numel() ** 0.5
        flux = flow(conductance, fit)
        self.flux = flux.detach()
        return (flux.view(*flux.shape, *[1] * (content.ndim - 2)) * content).sum(1)

    def clear(self) -> None:
        """Close all tubes."""
        self.content = self.conductance = self.flux = None
        self._forget_graph()

    def __getstate__(self) -> dict[str, Any]:
        """Return what is copied: all but the graph, which tensors cannot be copied with."""
        return self.__dict__ | {"_recent": (), "_origin": None}

    def _apply(self, fn: Any, recurse: bool = True) -> "TubeNetwork":
        self._forget_graph()
        return super()._apply(fn, recurse)

    def _forget_graph(self) -> None:
        self._recent, self._origin = (), None

    def _tubes(self) -> Tubes | None:
        if self.content is None or self.conductance is None or self.flux is None:
            return None
        return Tubes(self.content, self.conductance, self.flux)

    def _remember(self, data: Tensor, weights: Tensor, place: Tensor) -> None:
        """Keep the last K stores; place [B, M] says which of the new tube, 0, and the old ones, 1 to M, are left."""
        old = torch.full_like(place, -1) if self._origin is None else self._origin
        origin = torch.cat([torch.full_like(old[:, :1], len(self._recent)), old], 1).gather(1, place)
        kept = (*self._recent, (data, weights))
        dropped = max(0, len(kept) - self.truncation)
        self._recent = kept[dropped:]
        self._origin = (origin - dropped).clamp_min(-1)

    def _in_graph(self) -> tuple[Tensor, Tensor]:
        """Return content and conductance, linked to what the last stores were given."""
        content, conductance = self.content, self.conductance
        if content is None or conductance is None:
            raise RuntimeError("there are no tubes")
        if self._origin is None or not self._recent:
            return content, conductance
        data, weights = (torch.stack(each, 1) for each in zip(*self._recent, strict=True))
        there = (self._origin >= 0) & (conductance > 0)
        place = self._origin.clamp_min(0)
        shaped = there.view(*there.shape, *[1] * (content.ndim - 2))
        weight = weights.gather(1, place)
        thickened = weight / torch.where(there, weight, 1.0).detach()  # 1, with the gradient of the weight
        linked = torch.where(there, conductance * thickened, conductance)
        return torch.where(shaped, taken(data, place), content), linked

    def _check(self, data: Tensor, name: str = "data") -> None:
        arguments.tensors(**{name: data})
        if not data.is_floating_point() or data.ndim < 1 or 0 in data.shape:
            raise ValueError(
                f"{name} must be floating-point [B, ...] without zeros, but is {described(data)}"
            )
        held = self.content
        if held is None:
            return
        wanted = (len(held), *held.shape[2:])
        if (tuple(data.shape), data.dtype, data.device) != (wanted, held.dtype, held.device):
            raise ValueError(
                f"{name} must be {held.dtype} {list(wanted)} on {held.device}, as what the tubes hold, but is "
                f"{described(data)}; clear() makes room for others"
            )


def _weights(weight: float | Tensor, data: Tensor) -> Tensor:
    if not isinstance(weight, Tensor):
        return data.new_full((len(data),), not_negative("weight", weight))
    if tuple(weight.shape) != (len(data),) or weight.device != data.device:
        raise ValueError(
            f"weight must be a number, or [{len(data)}] on {data.device}, one for each sequence, but is "
            f"{described(weight)}"
        )
    if not bool(((weight >= 0) & weight.isfinite()).all()):
        raise ValueError(
            f"weight must hold numbers from 0 on, but holds {weight.min():g} to {weight.max():g}"
        )
    return weight.to(data.dtype)


def _take_shape(module: TubeNetwork, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Shape the buffers as those that are about to be loaded."""
    saved = {name: state_dict.get(prefix + name) for name in BUFFERS}
    tensors = [each for each in saved.values() if isinstance(each, Tensor)]
    if tensors and (len(tensors) < len(BUFFERS) or not _fit(tensors, module.rules.capacity)):
        raise ValueError(
            f"{prefix}content, conductance and flux must be [B, M, ...], [B, M] and [B, M] with M = "
            f"{module.rules.capacity}, the capacity, but are {', '.join(map(described, saved.values()))}"
        )
    for name, tensor in saved.items():
        held = getattr(module, name)
        place = (
            tensor.device if held is None and isinstance(tensor, Tensor) else getattr(held, "device", None)
        )
        setattr(module, name, torch.empty_like(tensor, device=place) if isinstance(tensor, Tensor) else None)
    module._forget_graph()


def _fit(tensors: list[Tensor], capacity: int) -> bool:
    content, *others = tensors
    flat = (content.shape[0], capacity)
    return content.shape[:2] == flat and all(tuple(each.shape) == flat for each in others)
