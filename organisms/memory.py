"""Memory that fades: a weighted moving average."""


class Trace:
    """Remembers a stream of numbers, the newest best: ``m <- decay * m + (1 - decay) * x``.

    The first value is taken whole, so that the trace does not start from an invented zero.
    """

    def __init__(self, decay: float, value: float | None = None) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay of a trace must be in [0, 1); got {decay}")
        self.decay = decay
        self.value = value

    def store(self, data: float, weight: float = 1.0) -> None:
        """Blend a value in; a weight under 1 makes it count for less."""
        if self.value is None:
            self.value = data
        else:
            self.value += (1 - self.decay) * weight * (data - self.value)

    def recall(self) -> float | None:
        """Give the average, or None before the first value."""
        return self.value

    def clear(self) -> None:
        """Forget everything."""
        self.value = None
