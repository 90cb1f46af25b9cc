"""Rules between the sections of a training's configuration."""

from collections.abc import Iterator

from organisms.experts.config import RouterConfig
from runs.config.problems import Problem
from runs.models.config import RouterSchedule, TrainConfig
from runs.models.fit.step.schedules import SETTINGS
from runs.models.options import ARCHITECTURES

# Settings of routers that do nothing unless another one has another value than this.
IDLE = {"noise_std": ("noise_type", "none"), "capacity_factor": ("capacity", "dropless")}


def broken_rules(config: TrainConfig) -> list[Problem]:
    """Return what is wrong with a configuration whose sections are right."""
    return [problem for name in SETTINGS for problem in _schedule(config, name)]


def _schedule(config: TrainConfig, name: str) -> Iterator[Problem]:
    """Yield what is wrong with the schedule of a router's setting."""
    schedule: RouterSchedule | None = getattr(config.sched, name)
    kind = config.model.kind
    if schedule is None:
        return
    if kind not in ARCHITECTURES:
        if name == "temperature":
            yield _problem(
                name, f"is no option of {kind}, so that a checkpoint could not keep it; set it to null"
            )
        return
    block = config.model.experts.block
    if kind != "experts" or block.feed_forward != "moe":
        yield _problem(name, "is of routers, which this model has none of; set it to null")
        return
    router = block.moe.router
    if name in IDLE and getattr(router, IDLE[name][0]) == IDLE[name][1]:
        option, value = IDLE[name]
        place = f"model.experts.block.moe.router.{option}"
        yield _problem(name, f"changes nothing while {place} is {value}; set one of them")
    yield from _values(schedule, router, name)


def _values(schedule: RouterSchedule, router: RouterConfig, name: str) -> Iterator[Problem]:
    for end in ("start", "end"):
        value = getattr(schedule, end)
        try:
            RouterConfig.model_validate({**router.model_dump(), name: value})
        except ValueError:
            yield _problem(f"{name}.{end}", f"is {value:g}, which a router's {name} cannot be")


def _problem(name: str, sentence: str) -> Problem:
    return Problem((f"sched.{name}", "model.kind"), sentence)
