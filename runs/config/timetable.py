"""A timetable in a configuration: when births and deaths happen, and how many."""

from typing import Annotated

from pydantic import Field

from organisms.layers.config import Section


class TurnConfig(Section):
    """What happens in one organism before one round."""

    round: Annotated[int, Field(ge=2)]
    """The round."""
    organism: Annotated[int, Field(ge=0)]
    """Number of the organism."""
    births: Annotated[int, Field(ge=0, le=64)] = 0
    """Components that are born."""
    deaths: Annotated[int, Field(ge=0, le=64)] = 0
    """Components that die, the weakest first."""


Timetable = Annotated[tuple[TurnConfig, ...] | None, Field(strict=False)]
