"""The page of commands, from what each says of itself under ``--help``."""

from collections.abc import Iterator
from typing import Any

import typer.main

from docs.building.tables import code, plain, table
from runs.cli import app

INTRODUCTION = """\
# Commands

Each of these is what `plasmodia COMMAND --help` prints. Data go to stdout and messages to stderr. The exit status is 0,
1 where a run cannot go on, 2 for a configuration or a usage that is refused (nothing is written then), 3 for a run that
stopped as asked, and 130 after Ctrl-C.
"""


def commands(group: Any = None, prefix: str = "plasmodia") -> Iterator[tuple[str, Any]]:
    """Find all commands: the whole name of each, such as ``plasmodia models list``, and the command.

    Parameters
    ----------
    group
        Of commands; None: all of Plasmodia's.
    prefix
        What the names begin with.
    """
    group = group or typer.main.get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", command


def page() -> str:
    """Return the page of commands."""
    return INTRODUCTION + "\n" + "\n".join(_section(name, command) for name, command in commands())


def _section(name: str, command: Any) -> str:
    context = command.context_class(command, info_name=name)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    parts = [f"## {name}", plain(command.help or ""), f"```text\n{usage}\n```"]
    for kind in ("argument", "option"):
        rows = [_row(param, context) for param in command.params if param.param_type_name == kind]
        if rows:
            parts.append(table((kind, "what it does"), rows))
    return "\n\n".join(parts) + "\n"


def _row(param: Any, context: Any) -> tuple[str, str]:
    record = param.get_help_record(context)
    name, text = record if record else (param.name, "")
    return code(name.partition(" <")[0]), plain(text)
