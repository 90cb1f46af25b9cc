"""The options of the pseudopod family: bounds of the structural genes of a head, and the memory of a stream."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from kernels.suggestion import did_you_mean
from organisms.layers.config import Count, Positive
from organisms.options import IMPORT_PATH, BrokenRule, FamilyOptions, Sizes, Traits

if TYPE_CHECKING:
    from organisms.pseudopods.tubes import TubeRules
    from organisms.task import Task


KERNELS = ("auto", "reference", "torch", "triton")  # of kernels.backends, which loads torch


class PseudopodOptions(FamilyOptions):
    """Bounds of the structural genes of a pseudopod, a low-rank attention head, and what its layer remembers."""

    traits: ClassVar[Traits] = Traits(gate="adds", assay="use", host_share=0.25, interface_steps=300)
    own_code: ClassVar[tuple[str, ...]] = ("kernel",)

    max_rank: Count = 16
    """Largest rank of the query-key product, a gene."""
    max_width: Count = 16
    """Largest width of the value-output product, a gene."""
    max_window: Count | None = None
    """Largest attention window in tokens, a gene; null: the whole sequence."""
    min_temperature: Positive = 0.5
    """Lowest attention temperature, a gene."""
    max_temperature: Positive = 2.0
    """Highest attention temperature, a gene."""
    compact: bool = False
    """Whether a layer computes its living heads alone, so that fewer of them take less memory; it changes last bits."""
    memory: Literal["none", "tubes"] = "none"
    """What a layer keeps of a stream (a task in chunks) beyond the chunk in sight; none: nothing, windows alone."""
    memory_capacity: Count = 16
    """Tubes of a layer, each with a token of an earlier chunk."""
    memory_decay: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Share of a tube's conductance that stays from chunk to chunk where nothing flows."""
    kernel: str = "auto"
    """What computes products, attention and ranks: auto (the fastest here), reference, torch, triton (GPUs alone), or
    the import path package.module:Name of your own, with some of the methods of kernels.kernel.Kernel."""

    @field_validator("kernel")
    @classmethod
    def _known(cls, value: str) -> str:
        if value in KERNELS or IMPORT_PATH.fullmatch(value):
            return value
        raise ValueError(
            f"must be {', '.join(KERNELS)} or an import path package.module:Name, not {value!r}"
            f"{did_you_mean(value, KERNELS)}"
        )

    @property
    def rules(self) -> "TubeRules | None":
        """How the tubes live, if there are any."""
        if self.memory == "none":
            return None
        from organisms.pseudopods.tubes import TubeRules  # torch is loaded with it

        return TubeRules(self.memory_decay, self.memory_capacity)

    def refusal(self, task: "Task") -> str | None:
        """Return why pseudopods cannot learn a task, or None if they can: where nothing could be remembered."""
        if task.chunk is not None or self.memory == "none":
            return None
        return (
            f"it is no stream, of which organism.pseudopods.memory: {self.memory} could remember anything; "
            "choose memory: none, or the task recall, or text with task.stream: true"
        )

    def broken_rules(self, sizes: Sizes) -> Iterator[BrokenRule]:
        """Yield every rule between keys that these options break in organisms of such sizes."""
        if self.min_temperature > self.max_temperature:
            yield BrokenRule(
                ("min_temperature", "max_temperature"),
                f"must be at most max_temperature ({self.max_temperature:g}), not {self.min_temperature:g}",
            )
