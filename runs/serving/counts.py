"""What a server has done so far, in the document's words and more."""

from dataclasses import dataclass


@dataclass(slots=True)
class Counts:
    """Counters of an engine; only its thread adds to them."""

    requests: int = 0  # generations that had their turn
    cache_hits: int = 0  # of them, those that found a beginning of theirs
    prefix_tokens_reused: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    timed_out: int = 0
    prompt_tokens: int = 0  # read
    new_tokens: int = 0
    steps: int = 0
    largest_batch: int = 0

    @property
    def hit_rate(self) -> float:
        """Share of the requests that found a beginning; 0 without requests."""
        return self.cache_hits / self.requests if self.requests else 0.0
