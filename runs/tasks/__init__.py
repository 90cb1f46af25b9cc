"""The tasks that organisms can learn: the built-in ones, and the user's own by import path."""

from organisms.task import Task
from runs.config.import_path import imported
from runs.config.problems import nearest
from runs.config.tables import TASKS
from runs.errors import RAISED, ConfigError, PlasmodiaError, told
from runs.tasks.corpora import CORPORA, fetched
from runs.tasks.options import Options
from runs.tasks.text import read_corpus


def corpus(options: Options) -> bytes | None:
    """Return the bytes of the file that ``task.path`` names, or of a published corpus; None where there is neither.

    A relative path is taken from the working directory; `runs.config.reader` has made those of a configuration file
    absolute.

    Raises
    ------
    ConfigError
        If the file is missing, a directory or unreadable, or the corpus cannot be loaded.
    """
    if options.path is None and options.name in CORPORA:
        return fetched(options.name)
    return None if options.path is None else read_corpus(options.path)


def load(options: Options, corpus: bytes | None = None) -> Task:
    """Build the task that a configuration asks for.

    The run's seed is no argument: data and splits are fixed, so that runs with different seeds can be
    compared.

    Parameters
    ----------
    options
        The ``task:`` section of the configuration. Its ``name`` is in `runs.config.tables.TASKS` or is
        the import path of the user's own builder, a callable ``(options, corpus) -> Task``.
    corpus
        The bytes that `corpus` read, or None.

    Raises
    ------
    ConfigError
        If there is no such task, or the options or the corpus cannot be used.
    """
    if ":" in options.name:
        return _users(options, corpus)
    if options.name not in TASKS:
        raise ConfigError(
            f"task.name is {options.name!r}; the tasks are {', '.join(TASKS)}, or your own as "
            f"'package.module:Name'{nearest(options.name, TASKS)}"
        )
    task: Task = imported(TASKS[options.name], "task.name")(options, corpus)
    return task


def _users(options: Options, corpus: bytes | None) -> Task:
    builder = imported(options.name, "task.name")
    if not callable(builder):
        raise ConfigError(
            f"task.name is {options.name!r}, {_a(builder)}; it must be callable as (options, corpus) -> Task"
        )
    try:
        task = builder(options, corpus)
    except PlasmodiaError:
        raise
    except RAISED as error:
        raise ConfigError(f"the task {options.name!r} raised {told(error)}") from error
    if not isinstance(task, Task):
        raise ConfigError(f"the task {options.name!r} gave {_a(task)}; it must give an organisms.task.Task")
    return task


def _a(value: object) -> str:
    return "None" if value is None else f"a value of type {type(value).__name__}"
