"""The subcommands of `plasmodia experiment`: run, resume, show, plot."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from runs.commands.options import AsJson, Executor, Quiet, Workers, as_text, prepare_machine, scalar_of
from runs.commands.places import named_as
from runs.commands.streams import messages_only, say, warn
from runs.commands.watching import watched
from runs.errors import ConfigError, RunError, command
from runs.machine.search_path import working_directory_last

if TYPE_CHECKING:
    from runs.experiments.description import Description
    from runs.experiments.folder import ExperimentFolder
    from runs.experiments.plan import Plan, Task

HELP = "Run arms with several seeds, and say how they differ."

ExperimentPath = Annotated[
    Path, typer.Argument(metavar="DIR", help="Folder of an experiment.", show_default=False)
]
Against = Annotated[
    str | None,
    typer.Option(
        metavar="ARM",
        help="The arm that the others are compared with [default: the first].",
        show_default=False,
    ),
]


class Group(TyperGroup):
    """The subcommands; what is no name of one is what `run` is given: ``plasmodia experiment archive``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Insert `run` where no subcommand is named."""
        is_named = not args or args[0] == "--help" or args[0] in self.commands
        return super().parse_args(ctx, args if is_named else ["run", *args])


class WithArms(TyperCommand):
    """A command whose option ``--arm`` takes a name and all ``key=value`` that follow it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Join each arm to one value."""
        return super().parse_args(ctx, joined(args))


def joined(args: Sequence[str]) -> list[str]:
    """Return arguments in which ``--arm NAME key=value ...`` are two: the option, and lines of name and settings."""
    found: list[str] = []
    taking = False  # whether what comes may be a setting of an arm
    for before, word in pairwise(["", *args]):
        if taking and "=" in word and not word.startswith("-"):
            found[-1] += f"\n{word}"
        else:
            found.append(word)
            taking = before == "--arm"
    return found


def run(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="EXPERIMENT|FILE.yaml",
            help="A preset of experiments (see --list) or a file; with --arm, a preset or a file of a configuration.",
            show_default=False,
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="a.b=v", help="Values of single keys for all arms.", show_default=False),
    ] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME [a.b=v ...]",
            help="An arm and what it changes; may be repeated. The others are compared with the first.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(metavar="A:B|A,B,...", help="Seeds of all arms; 0:5 is 0 to 4.", show_default=False),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="The full version of a preset, not the short one.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the experiment [default: out/<name>].")
    ] = None,
    workers: Annotated[
        str | None, typer.Option(metavar="N|auto", help="Runs at work at the same time, one core each.")
    ] = None,
    executor: Annotated[
        str | None, typer.Option(metavar="ray|inline", help="Where runs are made; inline: here, one by one.")
    ] = None,
    presets: Annotated[
        bool, typer.Option("--list", help="Write the presets of experiments and what they ask.")
    ] = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run an experiment, or go on with it; then say how its arms differ."""
    from runs.experiments.description import experiments, purpose

    if presets:
        width = max(map(len, experiments()))
        say("\n".join(f"{name:<{width}}  {purpose(name)}" for name in experiments()))
        return
    working_directory_last()
    started_in = Path.cwd()
    with messages_only():
        asked = _asked(source, arm or (), seeds, full)
        prepare_machine()
        from runs.experiments.folder import ExperimentFolder, agreed
        from runs.experiments.plan import planned
        from runs.machine.place import check_place
        from runs.prepared import prepare

        options = {"execution.workers": scalar_of(workers), "execution.executor": executor}
        plan = planned(asked, overrides or (), options)
        given = Path("out") / plan.name if out is None else out
        with named_as(given, started_in / given) as directory:
            folder = ExperimentFolder(directory)
            there = folder.plan_path.is_file()
            if there:
                plan = agreed(folder, plan)
            else:
                check_place(directory)
                for each in plan.arms:
                    prepare(each.config)
                folder.create(plan)
    with named_as(given, directory):
        failures = _carry_out(folder, plan, given, (workers, executor), quiet)
        _finish(given, folder, plan, json, failures)


def resume(
    experiment: ExperimentPath,
    workers: Workers = None,
    executor: Executor = None,
    accept_environment: Annotated[
        bool,
        typer.Option(
            "--accept-environment",
            help="Go on although this machine computes otherwise; marks all later digests of runs that were begun.",
        ),
    ] = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Go on with an experiment that was cut off, and with runs of it that failed."""
    working_directory_last()
    prepare_machine()
    from runs.experiments.folder import ExperimentFolder

    with named_as(experiment, experiment.absolute()) as directory:
        folder = ExperimentFolder(directory)
        plan = folder.plan()
        failures = _carry_out(folder, plan, experiment, (workers, executor), quiet, accept_environment)
        _finish(experiment, folder, plan, json, failures)


def show(
    experiment: ExperimentPath,
    against: Against = None,
    speed: Annotated[
        bool,
        typer.Option(
            "--speed", help="Measure anew how fast the best networks answer; imports code of the runs' own."
        ),
    ] = False,
    also: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Ask more of its runs: degradation (imports code of their own), placement; may be repeated.",
            show_default=False,
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Print what the arms came to, and how they differ from one of them."""
    from runs.experiments.folder import ExperimentFolder
    from runs.experiments.further.asked import checked

    asked = checked(also or ())
    with named_as(experiment, experiment.absolute()) as directory:
        folder = ExperimentFolder(directory)
        plan = folder.plan()
        if speed:
            working_directory_last()
            _measure_speed(folder, plan)
        if asked:
            working_directory_last()
            _measure(folder, plan, asked)
        say(_told(experiment, folder, plan, against, json, asked))


def plot(
    experiment: ExperimentPath,
    format: Annotated[str, typer.Option(metavar="png|svg", help="Format of the files.")] = "png",
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder for the files [default: plots in the experiment].", show_default=False
        ),
    ] = None,
) -> None:
    """Draw how the arms go on and how their scores are spread, and write the paths of the pictures."""
    if format not in ("png", "svg"):
        raise ConfigError(f"--format must be png or svg, not {format}")
    from runs.experiments.drawing import draw
    from runs.experiments.folder import ExperimentFolder

    with named_as(experiment, experiment.absolute()) as directory:
        folder = ExperimentFolder(directory)
        paths = draw(folder, folder.plan(), format, to)
    for path in paths:
        say(path if to is not None else experiment / path.relative_to(directory))


COMMANDS: Mapping[str, Callable[..., None]] = {"run": run, "resume": resume, "show": show, "plot": plot}


def _asked(source: str | None, arms: Sequence[str], seeds: str | None, full_version: bool) -> "Description":
    from runs.experiments.description import described, experiments, full, validated

    if source is None:
        raise ConfigError(
            f"name an experiment ({', '.join(experiments())}), a file, or a configuration with --arm NAME key=value ..."
        )
    if arms:
        if full_version:
            raise ConfigError("--full is of presets and files, and arms were given; leave one of them out")
        values = {"name": "experiment", "base": source, "arms": _arms(arms)}
        asked = validated(values, "experiment")
    else:
        asked = described(source)
        asked = full(asked) if full_version else asked
    return asked if seeds is None else asked.model_copy(update={"seeds": seeds})


def _arms(given: Sequence[str]) -> dict[str, dict[str, Any]]:
    from runs.config.reader import parsed

    arms: dict[str, dict[str, Any]] = {}
    for text in given:
        name, *settings = text.split("\n")
        if name in arms:
            raise ConfigError(f"two arms are called {name}; rename one")
        changes, wrong = parsed(settings)
        if wrong:
            raise ConfigError(f"arm {name}: {wrong[0]}")
        arms[name] = dict(changes)
    return arms


def _carry_out(
    folder: "ExperimentFolder",
    plan: "Plan",
    given: Path,
    options: tuple[str | None, str | None],
    quiet: bool,
    accept_environment: bool = False,
) -> "dict[Task, str]":
    from archive_store.lock import held
    from runs.config.reader import execution_changes
    from runs.experiments.running import Running, pool_for
    from runs.machine.interruption import listening
    from runs.observability.progress import Progress

    workers, executor = options
    changes = execution_changes(workers=scalar_of(workers), executor=executor)
    execution = plan.arms[0].config.execution.model_copy(update=changes)
    with (
        watched(quiet, lambda: f"; go on with: {command('experiment', 'resume', given)}") as report,
        held(folder.path),
        listening(report.tell) as stop,
    ):
        if plan != folder.plan():  # it has further seeds
            folder.write(plan)
        folder.sweep()
        if all(map(folder.done, plan.cells)):
            return {}
        report(Progress("starting workers"))
        with pool_for(execution, len(plan.cells)) as pool:
            running = Running(folder, plan, pool, report, execution.attempts, accept_environment)
            running.run(stop.patiently)
            return running.failures


def _finish(
    given: Path, folder: "ExperimentFolder", plan: "Plan", as_json: bool, failures: "dict[Task, str]"
) -> None:
    """Print what came of an experiment and draw it; say what failed."""
    if any(map(folder.done, plan.cells)):
        with _forgiving("the speed of its networks is not measured"):
            if plan.speed:
                _measure_speed(folder, plan)
        with _forgiving("not all that it asks for is measured"):
            _measure(folder, plan, plan.also)
        say(_told(given, folder, plan, None, as_json))
        with _forgiving("its pictures are not drawn"):
            from runs.experiments.drawing import draw

            for path in draw(folder, plan, "png", None):
                if not as_json:
                    say(given / path.relative_to(folder.path))
    if failures:
        lines = "".join(f"\n  {task}: {sentence}" for task, sentence in failures.items())
        raise RunError(f"{given}: all is done but for what cannot go on:{lines}")


@contextmanager
def _forgiving(what: str) -> Iterator[None]:
    """Warn where something beside the runs fails: the experiment has ended well."""
    from runs.commands.drawing import reason

    try:
        yield
    except Exception as error:
        warn(f"the experiment has ended, but {what}: {reason(error)}")


def _measure_speed(folder: "ExperimentFolder", plan: "Plan") -> None:
    prepare_machine()
    from runs.experiments.further.speed import keep, measured

    with messages_only():
        seconds = measured(folder, plan)
    keep(folder, seconds)


def _measure(folder: "ExperimentFolder", plan: "Plan", asked: Sequence[str]) -> None:
    if not asked:
        return
    prepare_machine()
    from runs.experiments.further.asked import measure

    with messages_only():
        measure(folder, plan, asked)


def _told(
    given: Path,
    folder: "ExperimentFolder",
    plan: "Plan",
    against: str | None,
    as_json: bool,
    also: Sequence[str] = (),
) -> str:
    from runs.experiments.further.asked import studies, with_kept
    from runs.experiments.plan import arm_called
    from runs.experiments.reading import found_in
    from runs.experiments.report import Report, as_plain, table

    found = found_in(folder, plan)
    chosen = plan.arms[0].name if against is None else arm_called(against, plan)
    report = Report(
        str(given),
        {arm.name: dict(arm.settings) for arm in plan.arms},
        chosen,
        found.score,
        with_kept(found.results, folder, chosen),
        (*plan.notes, *found.notes),
        studies(folder, plan, (*plan.also, *also)),
    )
    return as_text(as_plain(report)) if as_json else table(report)
