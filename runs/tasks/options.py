"""What a configuration may ask of a task, and the sentences that refuse what a task does not have."""

from typing import Protocol

from runs.errors import ConfigError


class Options(Protocol):
    """The ``task:`` section of a configuration, as a task's builder reads it."""

    @property
    def name(self) -> str:
        """A built-in task, or ``package.module:Name``."""

    @property
    def path(self) -> str | None:
        """A corpus of the user's."""

    @property
    def length(self) -> int | None:
        """Number of tokens S; None: the task's own."""

    @property
    def examples(self) -> int | None:
        """Largest number of training examples; None: all."""


def refuse_path(options: Options) -> None:
    """Raise `ConfigError` where a file is given to a task that reads none."""
    if options.path is not None:
        raise ConfigError(
            f"task.path is {options.path!r}, but the task {options.name!r} reads no file; "
            "remove task.path or choose the task 'text'"
        )


def length_between(options: Options, default: int, least: int, most: int, why: str) -> int:
    """Give the asked number of tokens, or `default`; raise `ConfigError` outside ``[least, most]``."""
    length = default if options.length is None else options.length
    if not least <= length <= most:
        raise ConfigError(
            f"task.length is {length}, but the task {options.name!r} takes {least} to {most} tokens: {why}"
        )
    return length
