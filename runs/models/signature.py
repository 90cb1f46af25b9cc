"""What a model reads and what it answers: the shape of a task, without its data."""

from dataclasses import asdict, dataclass
from typing import Any, get_args

from organisms.task import Kind, OfKind, Task, Tokens, check_classes


@dataclass(frozen=True, slots=True)
class Signature(OfKind):
    """The shape of a task, of which models are made and which a checkpoint keeps.

    A model of it maps float32 [B, S, features] (continuous tokens) or int64 [B, S] (discrete ones, in
    [0, features)) to float32 [B, outputs] (kinds ``class`` and ``value``) or [B, S, outputs] (``token`` and
    ``sequence``).

    Parameters
    ----------
    name
        Of the task.
    kind, tokens, features, outputs, causal
        As in `organisms.task.Task`.
    length
        S, the tokens of an example of the task; a causal model reads other lengths too.
    labels
        Names of the kinds of examples, where the task has some.
    classes
        Names of the classes, where the task has some.
    """

    name: str
    kind: Kind
    tokens: Tokens
    features: int
    outputs: int
    length: int
    causal: bool
    labels: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no task has.

        Raises
        ------
        ValueError
            If a kind is unknown, a name is no text, or a number is not positive.
        """
        for name, kinds in (("kind", get_args(Kind)), ("tokens", get_args(Tokens))):
            if getattr(self, name) not in kinds:
                raise ValueError(f"{name} must be one of {', '.join(kinds)}, not {getattr(self, name)!r}")
        if not all(isinstance(each, str) for each in (self.name, *self.labels)):
            raise ValueError(f"name and labels must be text, not {self.name!r} and {list(self.labels)}")
        for name in ("features", "outputs", "length"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ValueError(f"{name} must be a whole number from 1 on, not {value!r}")
        check_classes(self.kind, self.outputs, self.classes)

    @classmethod
    def of(cls, task: Task) -> "Signature":
        """Return the signature of a task."""
        return cls(
            task.name,
            task.kind,
            task.tokens,
            task.features,
            task.outputs,
            task.length,
            task.causal,
            task.labels,
            task.classes,
        )

    @classmethod
    def read(cls, values: dict[str, Any]) -> "Signature":
        """Return the signature that `plain` wrote.

        Raises
        ------
        TypeError, ValueError
            If it is none.
        """
        names = {name: tuple(values.get(name, ())) for name in ("labels", "classes")}
        return cls(**{**values, **names})

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        plain = {**asdict(self), "labels": list(self.labels), "classes": list(self.classes)}
        if not self.classes:  # as it was before there were any
            del plain["classes"]
        return plain
