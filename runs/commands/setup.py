"""The subcommands that need no run: validate, schema, doctor."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from runs.commands.options import AsJson, Overrides, Source, as_text, prepare_machine
from runs.commands.streams import messages_only, say
from runs.errors import ConfigError, RunError
from runs.machine.search_path import working_directory_last

if TYPE_CHECKING:
    from runs.config.schema import Config
    from runs.prepared import Prepared


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
    calibrate: Annotated[
        bool,
        typer.Option("--calibrate", help="Also calibrate, without a run, and say what that lets foresee."),
    ] = False,
    measures: Annotated[
        bool,
        typer.Option("--measures", help="Also calibrate with all measures on offer, and rank sets of them."),
    ] = False,
    random_measures: Annotated[
        bool,
        typer.Option(
            "--random-measures", help="Also calibrate, and set the measures beside random projections."
        ),
    ] = False,
    json: AsJson = False,
) -> None:
    """Check a configuration, build its task and family, and name everything that is wrong with it."""
    from runs.config.reader import load

    flags = {"--calibrate": calibrate, "--measures": measures, "--random-measures": random_measures}
    asked = [name for name, wanted in flags.items() if wanted]
    _check(asked, no_import, json)
    if not no_import:
        working_directory_last()
    with messages_only():
        config = load(source, overrides or (), import_own=not no_import)
    if not no_import:
        _answer(config, asked, json)
    if not json:
        say(
            f"{source}: valid ({config.organism.count} organisms, {config.rounds} rounds, {config.task.name})"
        )


def _check(asked: list[str], no_import: bool, json: bool) -> None:
    for name in asked:
        if no_import:
            raise ConfigError(f"{name} trains networks, which --no-import forbids; choose one of them")
    if json and asked not in (["--measures"], ["--random-measures"]):
        raise ConfigError(
            "--json is of the sets of --measures or --random-measures; ask for one of them alone"
        )


def _answer(config: "Config", asked: list[str], json: bool) -> None:
    """Build task and family, and train what is asked about."""
    with messages_only():
        prepare_machine()
        from runs.prepared import prepare

        prepared = prepare(config)
    answers = {"--calibrate": _calibrated, "--measures": _surveyed, "--random-measures": _controlled}
    for name in asked:
        say(answers[name](prepared, json), nl=not json)


def _calibrated(prepared: "Prepared", json: bool) -> str:
    from runs.calibration.prospect import prospect
    from runs.launch import calibrated
    from runs.observability.progress import reporting
    from runs.workers.start import pool_of

    with messages_only(), reporting(sys.stderr) as report, pool_of(prepared) as pool:
        _, calibration = calibrated(prepared, pool, report)
    return prospect(prepared.config.measures, calibration)


def _surveyed(prepared: "Prepared", json: bool) -> str:
    from qd.canonical import plain
    from runs.calibration.survey import table
    from runs.launch import surveyed
    from runs.observability.progress import reporting
    from runs.workers.start import pool_of

    with messages_only(), reporting(sys.stderr) as report, pool_of(prepared) as pool:
        survey = surveyed(prepared, pool, report)
    return as_text(plain(survey)) if json else table(survey)


def _controlled(prepared: "Prepared", json: bool) -> str:
    from qd.canonical import plain
    from runs.calibration.control import table
    from runs.launch import controlled
    from runs.observability.progress import reporting
    from runs.workers.start import pool_of

    with messages_only(), reporting(sys.stderr) as report, pool_of(prepared) as pool:
        control = controlled(prepared, pool, report)
    return as_text(plain(control)) if json else table(control)


def schema(
    family: Annotated[
        str | None,
        typer.Option(
            metavar="FAMILY|package.module:Name",
            help="With the options and defaults of this family alone [default: with those of all built-in ones].",
        ),
    ] = None,
    fit: Annotated[
        bool, typer.Option("--fit", help="That of a training (plasmodia fit) instead of a run's.")
    ] = False,
) -> None:
    """Write the JSON schema of a configuration."""
    if fit:
        from runs.models.config import TrainConfig

        if family is not None:
            raise ConfigError("--family is of a run's configuration; leave out --fit or --family")
        say(as_text(TrainConfig.model_json_schema()))
        return
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
