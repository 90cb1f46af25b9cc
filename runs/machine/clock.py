"""A clock is an argument, so that tests bring their own; no decision reads one."""

from collections.abc import Callable
from typing import TypeAlias

Clock: TypeAlias = Callable[[], float]  # monotonic seconds
