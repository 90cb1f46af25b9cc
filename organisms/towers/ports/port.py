"""What every encoder of raw data has in common: a life cycle, and three steps from what comes to what goes."""

from abc import ABC, abstractmethod
from typing import Any, Self

from organisms.towers.identity import BaseComponent


class BasePort(BaseComponent, ABC):
    """An encoder with a name, a parent and a lifecycle; it needs no torch.

    Called with raw data it returns ``postprocess(encode(preprocess(raw)))``. The steps know batches alone: what one
    input gives is the first and only row of a batch of one.

    Parameters
    ----------
    name, seed
        As `BaseComponent` takes them.
    """

    @property
    @abstractmethod
    def is_loaded(self) -> bool:
        """Whether it holds what it encodes with."""

    @abstractmethod
    def load(self) -> Self:
        """Get what it encodes with; where it is there already, nothing changes."""

    @abstractmethod
    def unload(self) -> Self:
        """Let go of it; `load` gets it again."""

    @abstractmethod
    def preprocess(self, raw: Any) -> Any:
        """Return one input or a batch of them as what `encode` takes: a batch in either case."""

    @abstractmethod
    def encode(self, prepared: Any) -> Any:
        """Return the encodings of a prepared batch."""

    @abstractmethod
    def postprocess(self, encoded: Any) -> Any:
        """Return the output for encodings, with the batch in front."""

    def is_single(self, raw: Any) -> bool:
        """Whether raw data are one input, not a batch: lists and tuples are batches."""
        return not isinstance(raw, list | tuple)

    def forward(self, raw: Any) -> Any:
        """Return the output for one input, or for each of a batch.

        Raises
        ------
        RuntimeError
            If the port is not loaded.
        """
        self.require_loaded()
        output = self.postprocess(self.encode(self.preprocess(raw)))
        return output[0] if self.is_single(raw) else output

    def require_loaded(self) -> None:
        """Refuse to go on without what it encodes with.

        Raises
        ------
        RuntimeError
            If the port is not loaded.
        """
        if not self.is_loaded:
            raise RuntimeError(f"port {self.name!r} is not loaded: call load() first")

    def __call__(self, raw: Any) -> Any:
        """Return what `forward` does."""
        return self.forward(raw)
