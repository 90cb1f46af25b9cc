"""What a family brings to the configuration: its options with their rules, and what must be known before it is built.

No torch here: a configuration is read and checked without it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from organisms.layers.config import Section

if TYPE_CHECKING:
    from organisms.task import Task

# Names of a user's own code: package.module:Name.
IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of every organism of a run, whatever its family."""

    dim: int = 64  # width of the residual stream
    depth: int = 1  # layers
    capacity: int = 12  # slots per layer


@dataclass(frozen=True, slots=True)
class Traits:
    """How the components of a family act on one another, and on the hosts that they are grafted into.

    The tests that every family has to pass (`tests/organisms`) check each of these.
    """

    # adds: a gate scales what its slot writes, and no other slot's; competes: slots share tokens, so that a gate
    # multiplies the slot's share of them and gating off hands them to the others. Either way, a slot that is gated off
    # is as an empty one.
    gate: Literal["adds", "competes"]
    # use: hosts have places free, and an assay measures what a graft adds; displacement: hosts are full, and an assay
    # measures how much better a graft is than the component that it takes the place of.
    assay: Literal["use", "displacement"]
    # Share of its components that a reference host keeps; the default of calibration.host_share.
    host_share: float
    # Optimizer steps that the interface needs before it is worth freezing; the default of calibration.steps.
    interface_steps: int

    def __post_init__(self) -> None:
        if not 0 < self.host_share <= 1:
            raise ValueError(f"host_share must be a share in (0, 1], not {self.host_share}")
        if self.interface_steps < 1:
            raise ValueError(f"interface_steps must be at least 1, not {self.interface_steps}")


class BrokenRule(NamedTuple):
    """A rule between options that a configuration breaks."""

    keys: tuple[str, ...]  # of the family, or whole paths such as organism.capacity; messages name the first
    sentence: str  # what the first must be, and is not: "must be at most 4, not 5"


class UnusableOption(ValueError):
    """An option names something that the family cannot be built with; its constructor raises it."""

    def __init__(self, key: str, sentence: str) -> None:
        super().__init__(f"{key}: {sentence}")
        self.key, self.sentence = key, sentence


class FamilyOptions(Section):
    """The options of a family: the keys of ``organism.<family>`` in a configuration, frozen and checked.

    A family derives its own from this, with a default and a sentence for each key, and names it in its attribute
    `options`.
    """

    traits: ClassVar[Traits] = Traits(gate="adds", assay="use", host_share=0.25, interface_steps=300)
    # Keys whose values may be import paths: that code is shipped to workers and is part of the fingerprint.
    own_code: ClassVar[tuple[str, ...]] = ()

    def broken_rules(self, sizes: Sizes) -> Iterator[BrokenRule]:
        """Yield every rule between keys that these options break in organisms of such sizes."""
        yield from ()

    def refusal(self, task: "Task") -> str | None:
        """Return why components of these options cannot learn a task, or None if they can.

        A family whose organisms read streams chunk by chunk overrides it; all others would look across chunks.
        """
        if task.chunk is None:
            return None
        return "it is a stream, and these components know no chunks; choose organism.kind: pseudopods"
