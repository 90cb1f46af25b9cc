"""What a memory of a stream is, whatever it keeps; and the simplest one, an exponential moving average."""

from typing import Protocol, TypeVar

T = TypeVar("T")


class Memory(Protocol[T]):
    """What a stream can be stored in and recalled from."""

    def store(self, data: T, weight: float = 1.0) -> None:
        """Take a value in; `weight` says how much of it."""
        ...

    def recall(self) -> T | None:
        """Return what is remembered, or None before the first value."""
        ...

    def clear(self) -> None:
        """Forget everything."""
        ...


class Trace:
    """Exponential moving average of a stream of numbers: ``m <- decay * m + (1 - decay) * x``.

    It starts at the first value, not at zero.
    """

    def __init__(self, decay: float, value: float | None = None) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay of a trace must be in [0, 1); got {decay}")
        self.decay = decay
        self.value = value

    def store(self, data: float, weight: float = 1.0) -> None:
        """Average a value in; `weight` scales ``1 - decay``."""
        if self.value is None:
            self.value = data
        else:
            self.value += (1 - self.decay) * weight * (data - self.value)

    def recall(self) -> float | None:
        """Return the average, or None before the first value."""
        return self.value

    def clear(self) -> None:
        """Forget everything."""
        self.value = None
