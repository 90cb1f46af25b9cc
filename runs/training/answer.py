"""The types that trainers' jobs return."""

from dataclasses import dataclass
from typing import Any

from qd.emitters.records import Emitted
from qd.records import Census

Answer = tuple[Any, bytes, dict[str, bytes]]  # report, payload and genomes by digest; see `runs.trainer`


@dataclass(frozen=True, slots=True)
class RoundReport:
    """The report of `runs.trainer.advance`: the census, and seconds by part, which no digest covers."""

    census: Census
    seconds: dict[str, float]
    memory: int | None = None  # bytes that the trainer's process has had resident at most


@dataclass(frozen=True, slots=True)
class EmitReport:
    """The report of `runs.training.search.emit.emit`: what came of an emission, and seconds by part."""

    emitted: Emitted
    seconds: dict[str, float]
    memory: int | None = None
