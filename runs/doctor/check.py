"""The result of one check of the doctor."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Check:
    """The result of a check; what has `warn` slows or limits runs, what has `fail` prevents them or is unsafe."""

    name: str
    status: Literal["ok", "warn", "fail"]
    detail: str
