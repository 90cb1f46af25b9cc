"""Launching: from a configuration to a finished run directory."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from archive_store.lock import held
from archive_store.run_directory import RunDirectory
from runs.calibration.borrow import borrowed
from runs.calibration.calibrate import calibrate, sample
from runs.calibration.constants import Calibration
from runs.calibration.control import Control, controls
from runs.calibration.control import controlled as compared
from runs.calibration.outlook import foreseen
from runs.calibration.stored import write_round_0
from runs.calibration.survey import Survey
from runs.calibration.survey import surveyed as rank
from runs.config.schema import Config, to_yaml
from runs.machine.interruption import listening, to_stderr
from runs.machine.place import check_place, placed
from runs.observability.measured import NOBODY, Recorder
from runs.observability.progress import Progress, Reporter
from runs.prepared import Prepared, described, prepare
from runs.recording import Recording, recording
from runs.session import RunSession, dispatcher_of
from runs.training.build import build
from runs.training.calibration_jobs import Sampled
from runs.training.world import WorldSpec
from runs.workers.pool import WorkerPool
from runs.workers.start import pool_of


def launch(
    config: Config,
    out: Path,
    report: Reporter | None = None,
    tell: Callable[[str], None] = to_stderr,
) -> Path:
    """Run a configuration from calibration to its last round, into a new directory.

    Parameters
    ----------
    config
        Of the run.
    out
        The directory, which must not exist.
    report
        Called with the progress of calibration and of every round; None: it is not reported.
    tell
        Called with a sentence for whoever asks the run to stop, within the signal's handler.

    Returns
    -------
    Path
        The directory.

    Raises
    ------
    ConfigError
        If the directory exists or the configuration's files cannot be used; nothing was written.
    RunError
        If the run cannot start or go on. After round 0 the directory stays and can be resumed.
    Stopped
        If SIGINT or SIGTERM asked it to stop after round 0.
    """
    report = report or silent
    check_place(out)
    report(Progress("loading"))
    prepared = prepare(config)
    report(Progress("starting workers"))
    with (
        recording(config, tell) as recorder,
        listening(tell) as stop,
        pool_of(prepared) as pool,
        started(prepared, out, pool, report, recorder) as run,
    ):
        run.driver(report=report, stop=stop.patiently).run()
        recorder.ended()
        run.finish()
    return out


@contextmanager
def started(
    prepared: Prepared,
    out: Path,
    pool: WorkerPool,
    report: Reporter,
    recorder: Recording | None = None,
) -> Iterator[RunSession]:
    """Calibrate (or borrow a calibration) and make the directory of a new run, round 0 journaled.

    The directory takes its name only when round 0 is in it, so that an interrupted start leaves nothing.

    Parameters
    ----------
    prepared
        Configuration, data and fingerprint of the run.
    out
        The directory, which must not exist.
    pool
        Does the work.
    report
        Called with the progress of calibration.
    recorder
        Is told what is measured; None: nobody is.

    Raises
    ------
    ConfigError
        If something of that name has come to be there.
    RunError
        If calibration fails, the calibration of the other run does not fit, or the disk is full or fails.
    """
    begun = time.monotonic()
    spec, calibration = calibrated(prepared, pool, report, recorder or NOBODY)
    with ExitStack() as stack:
        with placed(out) as partial:
            directory = RunDirectory.create(partial, to_yaml(prepared.config), described(prepared))
            stack.enter_context(held(partial))
            write_round_0(directory, prepared, calibration, spec, time.monotonic() - begun)
        directory = RunDirectory.open(out)
        journal = stack.enter_context(directory.journal(readonly=False))
        run = RunSession(prepared, directory, journal, calibration, spec)
        if recorder is not None:
            recorder.begin(out, journal)
        run.attach(pool, recorder=recorder or NOBODY)
        yield run


def calibrated(
    prepared: Prepared, pool: WorkerPool, report: Reporter, recorder: Recorder = NOBODY
) -> tuple[WorldSpec, Calibration]:
    """Calibrate, or borrow the calibration of another run, and report what it warns of.

    Parameters
    ----------
    prepared
        Configuration, data and fingerprint.
    pool
        Does the work; its workers are given the world.
    report
        Called with the progress.
    recorder
        Is told what is measured.

    Raises
    ------
    RunError
        If calibration fails, or that of the other run does not fit.
    """
    config, spec = prepared.config, prepared.world()
    if config.calibration.from_run is None:
        dispatcher = dispatcher_of(
            config, pool, lambda kind, job, what: recorder.happened(kind), recorder=recorder
        )
        spec, calibration = calibrate(
            config, spec, dispatcher, lambda done: report(_calibrating(config, done))
        )
    else:
        spec, calibration = borrowed(Path(config.calibration.from_run), config, prepared.data, spec)
        pool.configure(spec)
    for sentence in foreseen(calibration.outlook, calibration.verdict):
        report(replace(_calibrating(config, 1.0), message=sentence))
    return spec, calibration


def surveyed(prepared: Prepared, pool: WorkerPool, report: Reporter) -> Survey:
    """Calibrate with all measures that the family offers and the user's own, and rank sets of them.

    Parameters
    ----------
    prepared
        Configuration, data and fingerprint.
    pool
        Does the work.
    report
        Called with the progress.

    Raises
    ------
    RunError
        If calibration fails, or too few measures vary.
    """
    config, own = prepared.config, [name for name in prepared.config.measures if ":" in name]
    names = (*build(prepared.world()).species.measures, *own)
    return rank(config, names, _sampled(prepared, names, pool, report))


def controlled(prepared: Prepared, pool: WorkerPool, report: Reporter) -> Control:
    """Calibrate with the run's measures and random ones beside them, and compare how sound the spaces are.

    Parameters
    ----------
    prepared
        Configuration, data and fingerprint.
    pool
        Does the work.
    report
        Called with the progress.

    Raises
    ------
    ConfigError
        If the run has too few measures to compare.
    RunError
        If calibration fails, or a measure is constant.
    """
    config = prepared.config
    names = (*config.measures, *controls(config))
    return compared(config, names, _sampled(prepared, names, pool, report))


def _sampled(prepared: Prepared, names: tuple[str, ...], pool: WorkerPool, report: Reporter) -> list[Sampled]:
    config, spec = prepared.config, replace(prepared.world(), measures=names)
    dispatcher = dispatcher_of(config, pool, lambda kind, job, what: None)
    return sample(config, spec, dispatcher, lambda done: report(_calibrating(config, done)))[2]


def _calibrating(config: Config, done: float) -> Progress:
    return Progress("calibration", rounds=config.rounds, temperature=config.annealing.start, done=done)


def silent(progress: Progress) -> None:
    """Report nothing."""
