"""Early stopping: whether a run has come to its end before the rounds that it was given."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EarlyStopping:
    """The rule: stop when a metric has not risen for some rounds.

    Source: the criterion UP with a minimal improvement, Prechelt, "Early stopping - but when?", 1998; arguments are
    named as those of Keras's ``EarlyStopping``.
    """

    metric: str  # of a round, of which more is better
    patience: int  # rounds without an improvement
    min_delta: float = 0.0  # a smaller rise is none
    start_from: int = 0  # rounds at the beginning that do not count

    def stops(self, course: Sequence[float | None]) -> bool:
        """Return whether a run stops after a course of its metric.

        Parameters
        ----------
        course
            One value a round, from the first on; None: there was none, which is no improvement.
        """
        best, waited = None, 0
        for value in course[self.start_from :]:
            if value is not None and (best is None or value > best + self.min_delta):
                best, waited = value, 0
            else:
                waited += 1
            if waited >= self.patience:
                return True
        return False
