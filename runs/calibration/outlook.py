"""What calibration lets foresee of a run: whether training works, and whether components will enter the archive."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qd.canonical import number
from qd.validity.remedies import ways_out
from runs.errors import RunError
from runs.training.calibration_jobs import Fit, Worth

DIVERGED = 2.0  # times the loss before training and that of a constant answer
LEARNED_NOTHING = 0.98  # of the loss of a constant answer
FEW_USEFUL = 0.2  # share of the components


@dataclass(frozen=True, slots=True)
class Outlook:
    """Fit of the organism that trained the interface, and the usefulness of components in the reference hosts."""

    loss: float  # training loss of that organism in the end
    constant_loss: float  # that of the best constant answer
    useful: int  # components of which the 95 % bound of the assay lies above 0
    assayed: int  # components
    # Mean squared distance of calibration's behaviours to the nearest centroid, by the way in which these are placed.
    quantisation: tuple[tuple[str, float], ...] = ()

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> "Outlook":
        """Read it back from the journal."""
        return cls(
            loss=number(value["loss"]),
            constant_loss=number(value["constant_loss"]),
            useful=int(value["useful"]),
            assayed=int(value["assayed"]),
            quantisation=tuple((str(way), number(error)) for way, error in value.get("quantisation", ())),
        )


def outlook(fit: Fit, worth: Sequence[Worth], quantisation: Sequence[tuple[str, float]]) -> Outlook:
    """Return what calibration lets foresee.

    Parameters
    ----------
    fit
        Of the interface.
    worth
        Of each component in the reference hosts.
    quantisation
        Error of the centroids, and of those of other ways.
    """
    useful = sum(each.lower > 0 for each in worth)
    return Outlook(fit.loss, fit.constant, useful, len(worth), tuple(quantisation))


def stop_if_diverged(fit: Fit) -> None:
    """Stop a run whose first organism is far worse after training than before, and than a constant answer.

    Raises
    ------
    RunError
        If its training loss is over twice both.
    """
    if fit.loss > DIVERGED * max(fit.first, fit.constant):
        raise RunError(
            f"training diverged in calibration: from a training loss of {fit.first:.4g} to {fit.loss:.4g}, where the "
            f"best constant answer has {fit.constant:.4g}; lower training.learning_rate"
        )


def foreseen(outlook: Outlook | None, verdict: Mapping[str, Any]) -> list[str]:
    """Return what a calibration warns of, one sentence each: an archive that will stay empty, a weak behaviour space.

    Parameters
    ----------
    outlook
        Of the calibration, where it is known.
    verdict
        On its behaviour space.
    """
    space = [f"the behaviour space: {reason}" for reason in verdict.get("reasons", ())]
    if space:
        space.append(ways_out(verdict["names"], verdict["advice"]))
    return [*(warnings(outlook) if outlook is not None else ()), *space]


def warnings(found: Outlook) -> Iterator[str]:
    """Yield a sentence for each thing that will keep the archive empty, with what to change."""
    if found.loss > LEARNED_NOTHING * found.constant_loss:
        yield (
            f"the organism of calibration has learned nothing yet: a training loss of {found.loss:.4g}, where the best "
            f"constant answer has {found.constant_loss:.4g}; raise calibration.steps, change training.learning_rate, "
            "or look at the task"
        )
    if found.useful < FEW_USEFUL * found.assayed:
        yield (
            f"only {found.useful} of {found.assayed} components of calibration help the reference hosts for certain "
            "(95 % bound of the assay above 0), and only such enter the archive; give the task's probe split more "
            "examples, lower calibration.host_share, raise calibration.steps, or raise organism.dim"
        )
