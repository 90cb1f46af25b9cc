"""The subcommands that need no run: validate, schema, doctor."""

import typer

from runs.commands.options import (
    AsJson,
    Overrides,
    Source,
    as_text,
)
from runs.errors import RunError


def validate(source: Source, overrides: Overrides = None) -> None:
    """Check a configuration and name everything that is wrong with it."""
    from runs.config.reader import load

    config = load(source, overrides or ())
    typer.echo(
        f"{source}: valid ({config.organism.count} organisms, {config.rounds} rounds, {config.task.name})"
    )


def schema() -> None:
    """Write the JSON schema of a configuration."""
    from runs.config.schema import Config

    typer.echo(as_text(Config.model_json_schema()))


def doctor(json: AsJson = False) -> None:
    """Check this machine and installation."""
    from runs.doctor.doctor import doctor as check_all

    checks = check_all()
    if json:
        typer.echo(as_text(checks))
    else:
        width = max((len(check["name"]) for check in checks), default=0)
        for check in checks:
            typer.echo(f"{check['status']:<4}  {check['name']:<{width}}  {check['detail']}")
    if any(check["status"] == "fail" for check in checks):
        raise typer.Exit(RunError.exit_status)
