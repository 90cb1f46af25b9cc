"""What a trainer's job returns."""

from dataclasses import dataclass
from typing import Any

from qd.records import Census

Answer = tuple[Any, bytes, dict[str, bytes]]


@dataclass(frozen=True, slots=True)
class RoundReport:
    """What `advance` tells the driver: the census, and seconds that no digest covers."""

    census: Census
    seconds: dict[str, float]
