"""Numbers that are not finite after a round of training, named in words that depend on the computation alone."""

import math
from collections.abc import Iterator, Sequence

import torch

from qd.records import Census, Record
from runs.training.state import Individual


def after_training(individual: Individual, loss: float) -> str | None:
    """Return what training left that is not finite: a loss, a weight or a moment; None where all is well.

    A gradient that is not finite leaves its mark on Adam's moments, so that looking at these once a round
    finds it.

    Parameters
    ----------
    loss
        As `runs.training.optimise.train` gave it.
    """
    if not math.isfinite(loss):
        return f"training loss became {loss} at optimizer step {individual.step}"
    tensors = individual.organism.pool.tensors()
    finite = torch.stack([tensor.isfinite().all() for tensor in tensors.values()]).tolist()
    broken = next((name for name, sound in zip(tensors, finite, strict=True) if not sound), None)
    return None if broken is None else f"{broken} is not finite after optimizer step {individual.step}"


def of_census(census: Census, measures: Sequence[str]) -> str | None:
    """Return which number of a census is not finite, if any; `measures` are called by these names.

    Scores are not looked at (the R2 of constant targets is not finite), nor is the test split: it is only
    reported, and nothing may depend on it.
    """
    for name, value in _numbers(census, measures):
        if not math.isfinite(value):
            return f"{name} is {value}"
    return None


def _numbers(census: Census, measures: Sequence[str]) -> Iterator[tuple[str, float]]:
    yield "validation loss", census.validation_loss
    yield "probe loss", census.probe_loss
    for record in census.records:
        for name, value in _of_record(record, measures):
            yield f"{name} of component {record.component}", value


def _of_record(record: Record, measures: Sequence[str]) -> Iterator[tuple[str, float]]:
    for name, value in zip(measures, record.measures, strict=True):
        yield f"measure {name}", value
    for name in ("assay", "assay_lower", "ablation", "gradient", "flops", "bytes"):
        yield name, getattr(record, name)
    if record.worth is not None:
        yield "worth", record.worth
