"""A clock is an argument, so that tests bring their own; no decision reads one."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias

Clock: TypeAlias = Callable[[], float]  # monotonic seconds


def moment() -> str:
    """Return the time of day in ISO 8601, to the second: for what a person reads of a journal."""
    return datetime.now(UTC).isoformat(timespec="seconds")
