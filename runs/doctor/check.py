"""What the doctor says of one thing that it looked at."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `warn` slows or limits runs, `fail` prevents them or is unsafe."""

    name: str
    status: Literal["ok", "warn", "fail"]
    detail: str
