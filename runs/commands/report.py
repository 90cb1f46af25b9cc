"""The subcommands `report` and `watch`: runs as pages of HTML, in a file and as they go on."""

import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from runs.commands.places import named_as
from runs.commands.streams import say, warn
from runs.errors import ConfigError, RunError

_START = b"<!DOCTYPE html>"
FIRST = 8090  # port of auto


def report(
    where: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|EXPERIMENT",
            help="Directory of a run, or folder of an experiment.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE.html",
            help="The file [default: report.html in the folder].",
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="ARM",
            help="Of an experiment: the arm that the others are compared with [default: the first].",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a run or an experiment as one page of HTML, which needs no network, and print the page's path."""
    place = where / "report.html" if out is None else out
    _check(place)
    with named_as(where, where.absolute()) as folder:
        is_run = os.path.lexists(folder / "config.yaml")
        if not is_run and os.path.lexists(folder / "experiment.yaml"):
            data = _of_experiment(folder, against, place.absolute().parent)
        else:
            data = _of_run(folder, against)
    _write(place, data)
    say(place)


def _of_run(folder: Path, against: str | None) -> bytes:
    from archive_store.errors import NoRunError
    from archive_store.reading import open_run
    from runs.results.rows import joined_rows
    from runs.results.summary import summarise

    if folder.is_dir() and not os.path.lexists(folder / "config.yaml"):
        raise NoRunError(
            f"{folder} is neither a run nor an experiment: it has no config.yaml and no experiment.yaml; give a "
            "folder that `plasmodia launch` or `plasmodia experiment` made"
        )
    run = open_run(folder)
    if against is not None:
        raise ConfigError(f"--against is of experiments, and {folder} is a run; leave it out")
    summary = summarise(folder)
    from analysis.report.run import page_of_run
    from runs.results.slo.shown import block

    return page_of_run(run, joined_rows(summary), summary.rounds, block(run))


def _of_experiment(folder: Path, against: str | None, beside: Path) -> bytes:
    from runs.experiments.folder import ExperimentFolder
    from runs.experiments.page import page
    from runs.experiments.plan import arm_called

    experiment = ExperimentFolder(folder)
    plan = experiment.plan()
    chosen = plan.arms[0].name if against is None else arm_called(against, plan)
    return page(experiment, plan, chosen, beside)


def _check(place: Path) -> None:
    """Refuse to put a page in the place of anything but a page."""
    if not os.path.lexists(place):
        return
    if place.is_dir():
        raise ConfigError(f"{place} is a folder; give the name of a file, such as {place / 'report.html'}")
    if place.is_symlink() or not place.is_file():
        raise ConfigError(f"{place} is no plain file, and is not replaced; give another -o")
    with place.open("rb") as file:
        if file.read(len(_START)) != _START:
            raise ConfigError(
                f"{place} exists and is no page of HTML, so that it is not replaced; give another -o"
            )


def _write(place: Path, data: bytes) -> None:
    from archive_store import durable
    from archive_store.errors import WriteError

    try:
        durable.make_directory(place.absolute().parent)
        durable.place(place, data)
    except (WriteError, OSError) as error:
        reason = error.reason if isinstance(error, WriteError) else error.strerror
        raise RunError(f"{place} cannot be written: {reason}; choose another -o") from error


def watch(
    where: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|DIR", help="Directory of a run, or folder that holds runs.", show_default=False
        ),
    ] = Path("out"),
    port: Annotated[
        str, typer.Option(metavar="N|auto", help="Port; auto: the first free one from 8090 on; 0: any.")
    ] = "auto",
    host: Annotated[
        str, typer.Option(metavar="HOST", help="Where to listen; beyond this machine nothing is encrypted.")
    ] = "127.0.0.1",
) -> None:
    """Show runs in a browser while they go on: print an address, and serve it until Ctrl-C."""
    from runs.commands.serve import port_of
    from runs.machine.interruption import listening as asked_to_stop
    from runs.machine.sockets import is_loopback, listening
    from runs.watching.folder import Watched
    from runs.watching.requests import LOOPBACK
    from runs.watching.server import INTERVAL, served, step_back

    number, local = port_of(port), is_loopback(host)
    watched = Watched(where)
    with listening(host, number, FIRST) as bound:
        step_back()
        hosts = tuple(dict.fromkeys((*LOOPBACK, host.lower()))) if local else None
        with (
            asked_to_stop(lambda text: None) as stop,
            served(watched, bound, hosts, _fault) as address,
        ):
            stop.patiently()  # from here on a first Ctrl-C is heard below
            if not local:
                warn(
                    f"what goes over the network to {host} is not encrypted; who knows the address can read it"
                )
            say(address)
            sys.stdout.flush()
            while not stop.patiently():
                time.sleep(INTERVAL)
                watched.look()
    warn(f"stopped watching {where}")


def _fault(trace: str) -> None:
    warn(f"a request failed by a fault of the server\n{trace}")
