"""How a model reads sequences that grow: token by token where it can, else each time from the beginning."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from organisms.experts.incremental import new_caches, obstacle
from organisms.experts.models import MoELanguageModel, MoESequenceRegressor
from organisms.flow.network import FlowNetwork
from organisms.layers.key_values import Reading
from runs.models.architectures import FlowLanguageModel
from runs.models.network import Network
from runs.models.signature import Signature
from runs.serving.generation import Token

Kept = list[Tensor]  # of each layer, what it keeps of some tokens, [A, G, T, R]


@dataclass(frozen=True, slots=True)
class Work:
    """New tokens of one sequence: its place, the tokens before, and the new ones."""

    slot: int
    start: int
    tokens: tuple[Token, ...]


class Reader(Protocol):
    """What an engine asks of a model."""

    description: str
    incremental: bool  # whether a prompt can be read in parts, and what was read be kept

    def read(self, works: Sequence[Work]) -> Tensor:
        """Return what follows the last token of each sequence, [sequences, outputs], on the CPU."""

    def keep(self, slot: int, start: int, end: int) -> Kept:
        """Return a copy of what is kept of a sequence's tokens from `start` up to `end`.

        Parameters
        ----------
        slot, start, end
            Its place, and which tokens.
        """

    def restore(self, slot: int, start: int, kept: Kept) -> None:
        """Let a sequence have what was kept of another with the same beginning.

        Parameters
        ----------
        slot, start, kept
            Its place, the tokens before, and what was kept.
        """

    def clear(self, slot: int) -> None:
        """Forget a sequence whose numbers may not be finite."""

    @property
    def nbytes(self) -> int:
        """Bytes that are reserved for sequences."""

    @property
    def token_nbytes(self) -> int:
        """Bytes that are kept of one token."""


class Cache(Protocol):
    """What a layer keeps of sequences in places."""

    def taken(self, slot: int, start: int, end: int) -> Tensor:
        """Return a copy of what is kept of some tokens, [A, G, T, R].

        Parameters
        ----------
        slot, start, end
            As in `Reader.keep`.
        """

    def put(self, slot: int, start: int, kept: Tensor) -> None:
        """Let a sequence have what was taken of another.

        Parameters
        ----------
        slot, start, kept
            As in `Reader.restore`.
        """

    def clear(self, slot: int) -> None:
        """Forget what may not be finite."""

    @property
    def nbytes(self) -> int:
        """Bytes of all."""

    @property
    def token_nbytes(self) -> int:
        """Bytes that are taken of one token."""


class Incremental:
    """A model that keeps what it needs of earlier tokens, and reads the next ones alone.

    Parameters
    ----------
    extended
        From new tokens of several sequences and whose they are to the outputs at the last of each.
    caches
        What its layers keep, which `extended` reads and writes.
    device
        Where its parameters are.
    description
        What is kept, for those who look.
    """

    incremental = True

    def __init__(
        self,
        extended: Callable[[Tensor, Reading], Tensor],
        caches: Sequence[Cache],
        device: torch.device,
        description: str,
    ) -> None:
        self._extended, self._caches, self._device = extended, caches, device
        self.description = description

    def read(self, works: Sequence[Work]) -> Tensor:
        """Return what follows the last token of each sequence, [sequences, outputs]."""
        reading = Reading(
            tuple(work.slot for work in works),
            tuple(work.start for work in works),
            tuple(len(work.tokens) for work in works),
            self._device,
        )
        tokens = as_tensor([token for work in works for token in work.tokens], self._device)
        with torch.inference_mode():
            return self._extended(tokens, reading).float().cpu()

    def keep(self, slot: int, start: int, end: int) -> Kept:
        """Return what is kept of a sequence's tokens from `start` up to `end`.

        Parameters
        ----------
        slot, start, end
            As in `Reader.keep`.
        """
        with torch.inference_mode():
            return [cache.taken(slot, start, end) for cache in self._caches]

    def restore(self, slot: int, start: int, kept: Kept) -> None:
        """Let a sequence have what is kept of another with the same beginning.

        Parameters
        ----------
        slot, start, kept
            As in `Reader.restore`.
        """
        with torch.inference_mode():
            for cache, each in zip(self._caches, kept, strict=True):
                cache.put(slot, start, each)

    def clear(self, slot: int) -> None:
        """Fill a sequence's place with zeros."""
        with torch.inference_mode():
            for cache in self._caches:
                cache.clear(slot)

    @property
    def nbytes(self) -> int:
        """Bytes of all caches."""
        return sum(cache.nbytes for cache in self._caches)

    @property
    def token_nbytes(self) -> int:
        """Bytes of what is kept of one token in all layers."""
        return sum(cache.token_nbytes for cache in self._caches)


class Whole:
    """Any causal model: for each new token it reads the last tokens of the sequence, up to a window, again.

    Parameters
    ----------
    model
        In evaluation mode, on the device of its parameters.
    window
        Tokens that it reads at most.
    reason
        Why nothing of earlier tokens is kept.
    """

    incremental = False

    def __init__(self, model: nn.Module, window: int, reason: str) -> None:
        self._model, self._window = model, window
        self._device = next((each.device for each in model.parameters()), torch.device("cpu"))
        self._read: dict[int, tuple[Token, ...]] = {}
        self.description = f"for each new token the last {window} tokens are read again: {reason}"

    def read(self, works: Sequence[Work]) -> Tensor:
        """Return what follows the last token of each sequence, [sequences, outputs]; one by one."""
        outputs = []
        for work in works:
            tokens = (*self._read.get(work.slot, ())[: work.start], *work.tokens)
            self._read[work.slot] = tokens
            with torch.inference_mode():
                found, _ = self._model(as_tensor(list(tokens[-self._window :]), self._device)[None])
            outputs.append(found[0, -1].float().cpu())
        return torch.stack(outputs)

    def keep(self, slot: int, start: int, end: int) -> Kept:
        """Return nothing: nothing is kept that would spare work.

        Parameters
        ----------
        slot, start, end
            Not read.
        """
        return []

    def restore(self, slot: int, start: int, kept: Kept) -> None:
        """Leave all as it is.

        Parameters
        ----------
        slot, start, kept
            Not read.
        """

    def clear(self, slot: int) -> None:
        """Forget a sequence."""
        self._read.pop(slot, None)

    @property
    def nbytes(self) -> int:
        """Bytes that are reserved: none."""
        return 0

    @property
    def token_nbytes(self) -> int:
        """Bytes that are kept of a token: none."""
        return 0


def reader_of(model: nn.Module, signature: Signature, slots: int, *, shared: bool = True) -> Reader:
    """Return how a model is read, by what it is.

    Parameters
    ----------
    model
        In evaluation mode, called as ``model(tokens, mask=None, generator=None)``.
    signature
        Its length is the window of a model that is read whole.
    slots
        Sequences at the same time.
    shared
        Whether `Reader.keep` is asked for: a flow then keeps what it needs no more itself.
    """
    reason = "this architecture keeps nothing of them"
    if isinstance(model, MoELanguageModel | MoESequenceRegressor):
        found = obstacle(model)
        if found is None:
            return _of_experts(model, slots)
        reason = found
    elif isinstance(model, FlowLanguageModel):
        found = model.network.obstacle
        if found is None:
            return _of_flow(model.network, slots, shared)
        reason = found
    elif isinstance(model, Network):
        reason = "it counts positions from the first of them on, and was trained on no others"
    return Whole(model, signature.length, reason)


def _of_experts(model: MoELanguageModel | MoESequenceRegressor, slots: int) -> Incremental:
    caches = new_caches(model, slots)
    return Incremental(
        lambda tokens, reading: model.extended(tokens, reading, caches),
        caches,
        model.embed.device,
        "keys and values of earlier tokens are kept",
    )


def _of_flow(network: FlowNetwork, slots: int, shared: bool) -> Incremental:
    pasts = network.new_pasts(slots, shared=shared)
    ring = pasts[0].ring
    banks = "" if ring.block is None else f", and memory banks, written every {ring.block} tokens"
    return Incremental(
        lambda tokens, reading: network.extended(tokens, reading, pasts),
        pasts,
        network.embed.device,
        f"what the next token sees of the last {ring.window} is kept{banks}",
    )


def as_tensor(tokens: Sequence[Token], device: torch.device) -> Tensor:
    """Return symbols as int64 [N], or vectors of numbers as float32 [N, F]."""
    symbols = isinstance(tokens[0], int)
    return torch.tensor(tokens, dtype=torch.int64 if symbols else torch.float32, device=device)


def cut(kept: Kept, start: int, end: int) -> Kept:
    """Return a copy of what is kept of some tokens.

    Parameters
    ----------
    kept
        Of consecutive tokens.
    start, end
        Which of them, counted from the first.
    """
    return [each[:, :, start:end].clone() for each in kept]
