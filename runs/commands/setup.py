"""The subcommands that need no run: validate, schema, doctor."""

from typing import Annotated

import typer

from runs.commands.options import (
    AsJson,
    Overrides,
    Source,
    as_text,
)
from runs.commands.streams import messages_only, say
from runs.errors import RunError
from runs.machine.search_path import working_directory_last


def validate(
    source: Source,
    overrides: Overrides = None,
    no_import: Annotated[
        bool,
        typer.Option(
            "--no-import",
            help="Import no family of the configuration's own and leave its options unchecked: for a stranger's.",
        ),
    ] = False,
) -> None:
    """Check a configuration and name everything that is wrong with it."""
    from runs.config.reader import load

    if not no_import:
        working_directory_last()
    with messages_only():
        config = load(source, overrides or (), import_own=not no_import)
    say(f"{source}: valid ({config.organism.count} organisms, {config.rounds} rounds, {config.task.name})")


def schema(
    family: Annotated[
        str | None,
        typer.Option(
            metavar="FAMILY|package.module:Name",
            help="With the options and defaults of this family alone [default: with those of all built-in ones].",
        ),
    ] = None,
) -> None:
    """Write the JSON schema of a configuration."""
    from runs.config.model import schema_of_all
    from runs.config.own import schema_of

    if family is not None:
        working_directory_last()
    with messages_only():
        described = schema_of_all() if family is None else schema_of(family)
    say(as_text(described))


def doctor(json: AsJson = False) -> None:
    """Check this machine and installation."""
    from runs.doctor.doctor import doctor as check_all

    checks = check_all()
    if json:
        say(as_text(checks))
    else:
        width = max((len(check["name"]) for check in checks), default=0)
        for check in checks:
            say(f"{check['status']:<4}  {check['name']:<{width}}  {check['detail']}")
    if any(check["status"] == "fail" for check in checks):
        raise typer.Exit(RunError.exit_status)
