"""The subcommands of `plasmodia models`: list, show, latest, compare, plot, export, delete; and `plasmodia predict`."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from runs.commands.options import AsJson, as_text, prepare_machine
from runs.commands.streams import messages_only, say, warn
from runs.errors import ConfigError, RunError
from runs.machine.search_path import working_directory_last

HELP = "Look at models that are kept, compare, draw, export and delete them."
OUT = Path("out")  # where runs and trainings are made

Model = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL",
        help="Folder of a checkpoint, of a training (its best), or of a run.",
        show_default=False,
    ),
]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder to look through.")]


def list_(
    folder: Folder = OUT,
    sort: Annotated[
        str, typer.Option(metavar="KEY", help="loss, score, name, date, size or parameters.")
    ] = "name",
    every: Annotated[
        bool, typer.Option("--all", help="All checkpoints of a training, and not its best alone.")
    ] = False,
    json: AsJson = False,
) -> None:
    """List the models of a folder tree; damaged ones are told, and then the exit status is 1."""
    from runs.models.keeping.catalogue import catalogue
    from runs.models.keeping.shown import listed

    entries = catalogue(folder, sort, every)
    if json:
        say(as_text([entry.plain() for entry in entries]))
    elif entries:
        say(listed(entries))
    else:
        warn(f"{folder} has no models yet")
    damaged = sum(entry.problem is not None for entry in entries)
    if damaged:
        raise RunError(f"{damaged} of the {len(entries)} models in {folder} cannot be used")


def show(model: Model, json: AsJson = False) -> None:
    """Print everything of one model; files are compared with their digests, and of a run the network is built."""
    working_directory_last()
    with messages_only():
        prepare_machine()
        from runs.models.keeping.shown import details, told

        found = details(model)
    say(as_text(found) if json else told(found))


def latest(folder: Folder = OUT, json: AsJson = False) -> None:
    """Print the path of the model that was changed last."""
    from runs.models.keeping.catalogue import newest

    path = newest(folder)
    say(as_text({"path": str(path)}) if json else path)


def compare(
    models: Annotated[
        list[Path],
        typer.Argument(
            metavar="MODEL MODEL ...",
            help="Checkpoints, trainings or runs; the others are compared with the first.",
            show_default=False,
        ),
    ],
    split: Annotated[str, typer.Option(metavar="test|validation", help="Which examples.")] = "test",
    data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE.yaml|KEY=VALUE",
            help="Other data than those of the models: a configuration's, and single keys; may be repeated.",
            show_default=False,
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Compare models on the same examples: losses, sizes, times, and whether differences are shown."""
    if len(models) < 2:
        raise ConfigError("a comparison takes two models or more; give another one")
    working_directory_last()
    with messages_only():
        prepare_machine()
        from runs.models.keeping.compare import compare as compared
        from runs.models.keeping.data import given
        from runs.models.keeping.side_by_side import table
        from runs.models.opening import open_model

        found = compared(models, split, given(data) if data else None)
        score = open_model(models[0]).signature.score_name
    if json:
        say(as_text({"split": split, "score": score, "models": [each.plain() for each in found]}))
    else:
        say(table(found, score, split))


def plot(
    model: Model,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            metavar="K",
            help="dashboard, predictions, horizon, spectra or paths; may be repeated [default: all that there is "
            "something for].",
        ),
    ] = None,
    format: Annotated[str, typer.Option(metavar="png|svg", help="Format of the files.")] = "png",
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of the files [default: plots in the training or the run, beside a checkpoint].",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Draw a model's predictions, and of a training its dashboard; write the paths of the pictures."""
    working_directory_last()
    with messages_only():
        prepare_machine()
        from runs.models.drawing import drawn

        paths = drawn(model, kind, format, to)
    for path in paths:
        say(path)


def export(
    model: Model,
    format: Annotated[
        str, typer.Option(metavar="FORMAT", help="torch, pt2, onnx or torchscript.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="File, or folder for torch [default: the model's name, here]."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Export a model to a format that needs no Plasmodia; it is compared with the model before it is written."""
    working_directory_last()
    with messages_only():
        prepare_machine()
        from runs.models.exports.export import ENDING, check_format
        from runs.models.exports.export import export as exported
        from runs.models.opening import kind_of, open_model

        check_format(format)
        kind_of(model)
        path = Path(f"{model.resolve().name}{ENDING[format]}") if out is None else out
        found = exported(open_model(model), format, path)
        if format == "torchscript":
            warn(
                "torch deprecates TorchScript; this file reads one example at a time, as those of pt2 need not"
            )
    if json:
        from dataclasses import asdict

        say(as_text(asdict(found)))
    else:
        say(path)
        warn(
            f"outputs differ from the model's by at most {found.difference:.1e} of the largest; it reads batches of "
            f"{_of(found.batch, 'size')} and sequences of {_of(found.length, 'length')}"
        )


def delete(
    models: Annotated[
        list[Path],
        typer.Argument(metavar="MODEL ...", help="Folders of checkpoints or trainings.", show_default=False),
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete checkpoints or trainings, and nothing else: it asks, or needs --yes."""
    from runs.models.keeping.removal import removable, remove
    from runs.models.keeping.shown import readable

    sizes = {path: removable(path) for path in dict.fromkeys(models)}
    if not yes:
        if not at_a_terminal():
            raise ConfigError("models are deleted where somebody can be asked, or with --yes")
        for path, size in sizes.items():
            warn(f"{path}, {readable(size)}")
        if not typer.confirm("Delete for good?", err=True):
            raise ConfigError("nothing was deleted")
    for path in sizes:
        remove(path)
        say(path)


def predict(
    model: Model,
    inputs: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="Examples: .npy, .csv (a row an example), rows of a table, or a text whose bytes are symbols.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="OUTPUT.npy|.csv",
            help="Where the outputs go; a table has the names of the classes too.",
            show_default=False,
        ),
    ],
    batch: Annotated[int, typer.Option(metavar="N", min=1, help="Examples at once.")] = 256,
) -> None:
    """Let a model answer to the examples of a file; outputs are float32 [N, outputs] or [N, S, outputs]."""
    working_directory_last()
    with messages_only():
        prepare_machine()
        from archive_store import durable
        from runs.models.keeping.answers import check_holds, check_suffix, encoded
        from runs.models.keeping.arrays import read
        from runs.models.keeping.data import options_of
        from runs.models.opening import open_model
        from runs.models.predicting import predict as predicted

        check_suffix(out)
        opened = open_model(model)
        check_holds(out, opened.signature)
        options = options_of(model) if opened.signature.name == "table" else None
        found = predicted(opened, read(inputs, opened.signature, options), batch)
        if not out.absolute().parent.is_dir():
            raise ConfigError(
                f"there is no folder {out.parent} for {out.name}; make it, or give another --out"
            )
        durable.write(out, encoded(found, opened.signature, out.suffix))
    say(out)


def at_a_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty()


def _of(number: str | int, what: str) -> str:
    return f"any {what}" if number == "any" else f"{what} {number}"


COMMANDS: Mapping[str, Callable[..., None]] = {
    "list": list_,
    "show": show,
    "latest": latest,
    "compare": compare,
    "plot": plot,
    "export": export,
    "delete": delete,
}
