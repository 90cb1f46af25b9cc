"""Which sequences a model reads: one rule for whatever it is asked by."""

from dataclasses import dataclass

from runs.models.signature import Signature

RUN = "run"  # what a network of a run is called instead of an architecture


@dataclass(frozen=True, slots=True)
class Lengths:
    """Sequences of `least` to `most` tokens.

    Parameters
    ----------
    least, most
        Both are read; most None: any number of tokens.
    """

    least: int
    most: int | None

    def __contains__(self, length: int) -> bool:
        """Whether sequences of this length are read."""
        return self.least <= length and (self.most is None or length <= self.most)

    def __str__(self) -> str:
        """Return what a sentence calls them, such as ``1 to 128 tokens``."""
        if self.most is None:
            return f"{self.least} or more tokens"
        return f"{self.least} tokens" if self.least == self.most else f"{self.least} to {self.most} tokens"

    def refused(self, name: str, task: str, length: int) -> str:
        """Return the sentence for sequences of another length.

        Parameters
        ----------
        name, task
            What the sequences, and the task of the model, are called.
        length
            In tokens.
        """
        return f"{name} must be of {self} for a model of the task {task!r}, not of {length}"

    @property
    def any(self) -> bool:
        """Whether there is no limit."""
        return self.most is None


def lengths_of(signature: Signature, architecture: str) -> Lengths:
    """Return which sequences a model reads.

    Whoever answers an example as a whole, or sees later tokens, reads those of the task's length alone: any other would
    be answered by what was never trained. Of a causal model with outputs at each token those of the first tokens do not
    depend on the rest, so that it reads shorter ones; longer ones too, but for networks of a run and flows, whose
    positions and windows are those of the task.

    Parameters
    ----------
    signature
        Of the model.
    architecture
        Its name or import path; `RUN`: it is a network of a run.
    """
    if not (signature.causal and signature.per_position):
        return Lengths(signature.length, signature.length)
    return Lengths(1, signature.length if architecture in (RUN, "flow") else None)
