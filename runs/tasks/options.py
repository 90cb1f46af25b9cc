"""The options of a task, and the checks that refuse those that a task does not have."""

from collections.abc import Sequence
from typing import Literal, Protocol

from runs.config.problems import nearest, shown
from runs.errors import ConfigError


class Options(Protocol):
    """The ``task:`` section of a configuration, as a task's builder reads it."""

    @property
    def name(self) -> str:
        """A built-in task, or ``package.module:Name``."""

    @property
    def path(self) -> str | None:
        """A file of the user's."""

    @property
    def length(self) -> int | None:
        """Number of tokens S, or of a chunk of a stream; None: the task's own."""

    @property
    def examples(self) -> int | None:
        """Largest number of training examples; None: all."""

    @property
    def kinds(self) -> Sequence[str] | None:
        """Kinds of examples that there shall be; None: all that the task has."""

    @property
    def stream(self) -> bool:
        """Whether examples are streams of chunks."""

    @property
    def chunks(self) -> int | None:
        """Chunks of a stream; None: the task's own number."""

    @property
    def truncation(self) -> int | None:
        """Chunks of a stream over which gradients flow; None: all."""

    @property
    def target(self) -> str | None:
        """Column of a table that is predicted."""

    @property
    def columns(self) -> Sequence[str] | None:
        """Columns of a table that are read; None: all but the target."""

    @property
    def predict(self) -> Literal["class", "value"] | None:
        """What the target is; None: found from what it holds."""

    @property
    def split(self) -> int | str:
        """Number that draws the splits of a table, or its column that names each row's."""

    @property
    def missing(self) -> Literal["refuse", "fill"]:
        """Whether missing values of a table are an error or a feature."""


def refuse_path(options: Options) -> None:
    """Raise `ConfigError` where a file is given to a task that reads none."""
    if options.path is not None:
        raise ConfigError(
            f"task.path is {options.path!r}, but the task {options.name!r} reads no file; "
            "remove task.path or choose the task 'text' or 'table'"
        )


def refuse_kinds(options: Options) -> None:
    """Raise `ConfigError` where kinds of examples are chosen of a task that has one kind."""
    if options.kinds is not None:
        raise ConfigError(
            f"task.kinds is {shown(list(options.kinds))}, but all examples of the task {options.name!r} are of one "
            "kind; remove task.kinds or choose the task 'signals' or 'trajectories'"
        )


def kinds_among(options: Options, known: Sequence[str]) -> tuple[str, ...]:
    """Return the chosen kinds in the task's order, or all; raise `ConfigError` for what is no choice of them."""
    if options.kinds is None:
        return tuple(known)
    for kind in options.kinds:
        if kind not in known:
            raise ConfigError(
                f"task.kinds has {kind!r}; the kinds of the task {options.name!r} are {', '.join(known)}"
                f"{nearest(kind, known)}"
            )
    chosen = tuple(kind for kind in known if kind in options.kinds)
    if not chosen or len(chosen) < len(options.kinds):
        raise ConfigError(
            f"task.kinds is {shown(list(options.kinds))}; it must name one kind or more, each once"
        )
    return chosen


def length_between(options: Options, default: int, least: int, most: int, why: str) -> int:
    """Return the number of tokens that is asked for, or the task's default.

    Parameters
    ----------
    options
        Of the task.
    default
        Where none is asked for.
    least, most
        What the task allows.
    why
        The reason for its limits, for the message.

    Raises
    ------
    ConfigError
        If it is not in ``[least, most]``.
    """
    length = default if options.length is None else options.length
    if not least <= length <= most:
        raise ConfigError(
            f"task.length is {length}, but the task {options.name!r} takes {least} to {most} tokens: {why}"
        )
    return length


def chunks_between(options: Options, default: int, most: int) -> int:
    """Return the number of chunks of a stream that is asked for, or the task's default.

    Parameters
    ----------
    options
        Of the task.
    default
        Where none is asked for.
    most
        What the task allows.

    Raises
    ------
    ConfigError
        If it is not in ``[2, most]``, or gradients shall flow over no or more chunks.
    """
    chunks = default if options.chunks is None else options.chunks
    if not 2 <= chunks <= most:
        raise ConfigError(
            f"task.chunks is {chunks}, but a stream of the task {options.name!r} has 2 to {most} chunks"
        )
    if options.truncation is not None and not 1 <= options.truncation <= chunks:
        raise ConfigError(
            f"task.truncation is {options.truncation}, but gradients flow over 1 to {chunks} chunks (task.chunks)"
        )
    return chunks
