"""The service-level objectives of a run: thresholds, windows and shares, and the file that sets others."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, model_validator

from organisms.layers.config import Section
from runs.config.problems import problems
from runs.config.reader import mapping, refusal

Objective = Annotated[float, Field(gt=0, lt=1)]
NAMES = ("commit", "order", "idle", "lag", "lost", "memory")


class WindowConfig(Section):
    """The newest part of a run that counts; both null: all of it."""

    rounds: Annotated[int, Field(ge=1)] | None = None
    """Rounds, up to the last committed one."""
    seconds: Annotated[float, Field(gt=0)] | None = None
    """Seconds of work, up to the last commit; pauses between a stop and a resume do not count."""

    @model_validator(mode="after")
    def _either(self) -> "WindowConfig":
        if self.rounds is not None and self.seconds is not None:
            raise ValueError("must have rounds or seconds, not both")
        return self


class SloConfig(Section):
    """One objective: of the events in a window, a share is to be good; the rest is the error budget."""

    threshold: Annotated[float, Field(ge=0)]
    """Largest value of a good event, in the unit of what is measured."""
    objective: Objective = 0.99
    """Share of the events that are to be good; 1 is no objective, as it leaves no budget."""
    window: WindowConfig = WindowConfig(rounds=100)


class SlosConfig(Section):
    """The objectives of a run; null: none of the kind."""

    commit: SloConfig | None = SloConfig(threshold=1.0)
    """Commits: seconds from the first file of a round to its committed journal."""
    order: SloConfig | None = SloConfig(threshold=60.0)
    """Orders of organisms and emitters: seconds from sending to the answer."""
    idle: SloConfig | None = SloConfig(threshold=0.75, objective=0.9)
    """Rounds: share of the workers' time without an order."""
    lag: SloConfig | None = SloConfig(threshold=3.0)
    """Orders: rounds from the last committed one to the order's, when it was sent; 1 is the next round."""
    lost: SloConfig | None = SloConfig(threshold=1.0, objective=0.9, window=WindowConfig())
    """Hours of work: workers that were lost."""
    memory: SloConfig | None = SloConfig(threshold=16_384.0)
    """Rounds: MiB that the largest process has had resident at most."""


def slos_of(path: Path | None) -> SlosConfig:
    """Return the objectives of a file, or the built-in ones.

    Raises
    ------
    ConfigError
        If the file cannot be read, or a key or a value is not right.
    """
    if path is None:
        return SlosConfig()
    values, wrong = mapping(path, str(path), "commit: {threshold: 2}")
    if wrong:
        raise refusal(str(path), wrong)
    try:
        return SlosConfig.model_validate(values)
    except ValidationError as error:
        raise refusal(str(path), problems(error.errors(), SlosConfig)) from None
