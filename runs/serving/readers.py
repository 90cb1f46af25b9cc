"""How a model reads sequences that grow: token by token where it can, else each time from the beginning."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from organisms.experts.incremental import new_caches, obstacle
from organisms.experts.models import MoELanguageModel, MoESequenceRegressor
from organisms.layers.key_values import Reading
from runs.models.signature import Signature
from runs.serving.generation import Token

Kept = list[Tensor]  # of each block, keys and values of some tokens [2, G, T, R]


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


class Incremental:
    """A model of experts, or a dense one of the same kind, with caches of keys and values.

    Parameters
    ----------
    model
        In evaluation mode.
    slots
        Sequences at the same time.
    """

    description = "keys and values of earlier tokens are kept"
    incremental = True

    def __init__(self, model: MoELanguageModel | MoESequenceRegressor, slots: int) -> None:
        self._model, self._caches = model, new_caches(model, slots)
        self._device = model.embed.device

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
            return self._model.extended(tokens, reading, self._caches).float().cpu()

    def keep(self, slot: int, start: int, end: int) -> Kept:
        """Return keys and values of a sequence's tokens from `start` up to `end`.

        Parameters
        ----------
        slot, start, end
            As in `Reader.keep`.
        """
        with torch.inference_mode():
            return [cache.taken(slot, start, end) for cache in self._caches]

    def restore(self, slot: int, start: int, kept: Kept) -> None:
        """Let a sequence have the keys and values of another with the same beginning.

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
        """Bytes of all caches, which grow to the longest sequence."""
        return sum(cache.nbytes for cache in self._caches)

    @property
    def token_nbytes(self) -> int:
        """Bytes of the keys and values of one token in all blocks."""
        return sum(cache.token_nbytes for cache in self._caches)


class Whole:
    """Any causal model: for each new token it reads the last tokens of the sequence, up to a window, again.

    Parameters
    ----------
    model
        In evaluation mode, on the device of its parameters.
    window
        Tokens that it reads at most.
    """

    incremental = False

    def __init__(self, model: nn.Module, window: int) -> None:
        self._model, self._window = model, window
        self._device = next((each.device for each in model.parameters()), torch.device("cpu"))
        self._read: dict[int, tuple[Token, ...]] = {}
        self.description = f"for each new token the last {window} tokens are read again"

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


def reader_of(model: nn.Module, signature: Signature, slots: int) -> Reader:
    """Return how a model is read, by what it is.

    Parameters
    ----------
    model
        In evaluation mode, called as ``model(tokens, mask=None, generator=None)``.
    signature
        Its length is the window of a model that is read whole.
    slots
        Sequences at the same time.
    """
    if isinstance(model, MoELanguageModel | MoESequenceRegressor) and obstacle(model) is None:
        return Incremental(model, slots)
    return Whole(model, signature.length)


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
