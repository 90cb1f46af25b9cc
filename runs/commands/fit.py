"""The subcommand that trains a model on its own: fit."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runs.commands.options import AsJson, Metrics, Quiet, as_text, prepare_machine
from runs.commands.places import named_as
from runs.commands.streams import messages_only, say, warn
from runs.commands.watching import watched_by
from runs.errors import ConfigError, command
from runs.machine.search_path import working_directory_last

if TYPE_CHECKING:
    from runs.models.config import TrainConfig
    from runs.models.fit import Fitted
    from runs.observability.fitting import FitProgress

_PRESETS = (
    Path(__file__).parents[1] / "models" / "presets"
)  # `runs.models.fit.reading` would load pydantic too early


def _names() -> list[str]:
    return sorted(path.stem for path in _PRESETS.glob("*.yaml"))


def fit(
    source: Annotated[
        str,
        typer.Argument(
            metavar="PRESET|CONFIG.yaml|FOLDER",
            help=f"Name of a preset ({', '.join(_names())}), a configuration file, or with --resume the folder of a "
            "training.",
            show_default=False,
            autocompletion=lambda incomplete: [name for name in _names() if name.startswith(incomplete)],
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="a.b=v", help="Values of single keys, such as optim.lr_main=3e-4.", show_default=False
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with the training in the folder, from its newest checkpoint."),
    ] = False,
    nproc: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Processes that train together, each on its own examples: a step takes N times as many.",
        ),
    ] = 1,
    metrics: Metrics = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write the resolved configuration; train nothing.")
    ] = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train a model, and print the folder of its best checkpoint."""
    working_directory_last()
    with messages_only():
        config = _config(source, overrides or [], resume)
    asked = _asked(metrics)
    if dry_run:
        _say_configuration(config, json)
        return
    given = Path(config.out_dir) / config.run_name
    with named_as(given, given.absolute()) as folder:
        with watched_by(_reporting, quiet, _hint(given, folder)) as report:
            prepare_machine()
            from runs.models.fit import fit as train
            from runs.models.fit.dashboard import Live
            from runs.models.fit.folder import TrainingFolder

            live = Live(TrainingFolder(folder), config, time.monotonic)
            with _measured(asked, folder, report.tell) as measure:

                def reported(progress: "FitProgress") -> None:
                    report(progress)
                    live(progress)
                    measure(progress)

                fitted = train(config, resume=resume, nproc=nproc, report=reported, tell=report.tell)
        best = given / fitted.best.relative_to(folder)
        with messages_only():
            from runs.models.drawing import drawn

            drawn(fitted.folder)
    if not quiet:
        warn(_told(config.run_name, fitted))
        warn(f"pictures are in {given / 'plots'}")
    say(as_text(_plain(fitted, given, best)) if json else best)


def _asked(metrics: str | None) -> str:
    if metrics is None:
        return "off"
    from runs.config.reader import execution_changes

    return str(execution_changes(metrics=metrics)["metrics"])


@contextmanager
def _measured(
    setting: str, folder: Path, tell: Callable[[str], None]
) -> Iterator[Callable[["FitProgress"], None]]:
    """Keep and tell the metrics of a training while it goes on, as `setting` says."""
    from runs.observability.metrics.collector import MetricsCollector
    from runs.observability.metrics.of_fit import FIT_FAMILIES, FitMetrics
    from runs.observability.metrics.telling import OFF, telling

    if setting == OFF:
        yield lambda progress: None
        return
    collector = MetricsCollector(FIT_FAMILIES)
    with telling(setting, collector, tell, time.monotonic) as file:

        def written() -> None:
            if file is not None:
                file.begin(folder)  # which is this training's, now that a step is done
                file.write()

        yield FitMetrics(collector, time.monotonic, written)


def _config(source: str, overrides: list[str], resume: bool) -> "TrainConfig":
    from runs.models.fit.reading import load

    place = Path(source)
    if (place / "journal.sqlite").is_file():
        raise ConfigError(f"{source} is a run and no training; go on with: {command('resume', source)}")
    if not resume and (place / "config.yaml").is_file():
        raise ConfigError(
            f"{source} is the folder of a training; go on with: {command('fit', source, '--resume')}"
        )
    if not (resume and place.is_dir()):
        return load(source, overrides)
    # Where the folder is now, wherever it was when it was begun.
    here = place.absolute()
    if not (here / "config.yaml").is_file():
        raise ConfigError(f"{source} is the folder of no training: it has no config.yaml")
    config = load(str(place / "config.yaml"), overrides)
    return config.model_copy(update={"out_dir": str(place.parent), "run_name": here.name})


def _say_configuration(config: "TrainConfig", json: bool) -> None:
    from archive_store.strict_yaml import write

    values = config.model_dump(mode="json")
    say(as_text(values) if json else write(values), nl=json)


def _reporting(stream: Any, quiet: bool) -> Any:
    from runs.observability.fitting import reporting

    return reporting(stream, quiet)


def _hint(given: Path, folder: Path) -> Callable[[], str]:
    return lambda: f"; go on with: {command('fit', given, '--resume')}" if folder.exists() else ""


def _told(name: str, fitted: "Fitted") -> str:
    return (
        f"{name}: {fitted.reason}; best after step {fitted.step}: validation loss {fitted.loss:.4g}, "
        f"{fitted.score_name} {fitted.score:.4f} ({fitted.baseline_name}: {fitted.baseline:.4f})"
    )


def _plain(fitted: "Fitted", given: Path, best: Path) -> dict[str, Any]:
    from qd.canonical import plain

    return plain(asdict(fitted) | {"folder": str(given), "best": str(best), "metrics": dict(fitted.metrics)})
