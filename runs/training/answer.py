"""What a trainer's job returns."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qd.records import Census

Job = tuple[Any, bytes, dict[str, bytes]]


Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Report:
    """What `advance` tells the driver: the census, and seconds that no digest covers."""

    census: Census
    seconds: dict[str, float]
