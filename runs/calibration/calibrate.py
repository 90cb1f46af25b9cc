"""Calibration, step by step: what makes components of different organisms comparable is settled before round 1.

Trainers train the interface, which is frozen then, and reference organisms on it; some of these become the hosts of
the assay, and the components of all are measured in the hosts that they are not themselves.
`runs.calibration.constants` finds the rest in what was measured: the range of every measure, the centroids, and a
verdict on the behaviour space.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from runs.calibration.constants import Calibration, constants
from runs.calibration.outlook import stop_if_diverged
from runs.config.schema import Config
from runs.training.calibration_jobs import INTERFACE, Fit, Sampled
from runs.training.world import WorldSpec
from runs.workers.dispatch import Dispatcher
from runs.workers.jobs import Done, Job
from runs.workers.pool import WorkerPool


def calibrate(
    config: Config, spec: WorldSpec, dispatcher: Dispatcher, report: Callable[[float], None]
) -> tuple[WorldSpec, Calibration]:
    """Train interface and calibration organisms, and find the constants of the run.

    Parameters
    ----------
    config
        Of the run.
    spec
        The world without interface and hosts; it is returned with both.
    dispatcher
        Sends the jobs to trainers.
    report
        Called after each job with the share of the jobs that are done.

    Raises
    ------
    RunError
        If training diverges, the behaviour space degenerates, no component helps any host, or a job fails.
    """
    spec, fit, sampled = sample(config, spec, dispatcher, report)
    return spec, constants(config, spec, fit, sampled)


def sample(
    config: Config, spec: WorldSpec, dispatcher: Dispatcher, report: Callable[[float], None]
) -> tuple[WorldSpec, Fit, list[Sampled]]:
    """Train interface and calibration organisms, and measure what constants are found from.

    Parameters
    ----------
    config
        Of the run.
    spec
        The world without interface and hosts, which names the measures; it is returned with both.
    dispatcher
        Sends the jobs to trainers.
    report
        Called after each job with the share of the jobs that are done.

    Raises
    ------
    RunError
        If training diverges or a job fails.
    """
    settings = config.calibration
    numbers = [INTERFACE - 1 - index for index in range(settings.organisms)]
    stages = 1 + 2 * len(numbers)
    finished = 0

    def progress() -> None:
        nonlocal finished
        finished += 1
        report(finished / stages)

    report(0.0)
    pool = dispatcher.pool
    pool.configure(spec)
    trained = gather(dispatcher, [Job("interface", 0, INTERFACE, ())], progress)[INTERFACE]
    fit: Fit = trained.report
    stop_if_diverged(fit)
    spec = replace(spec, interface=pool.fetch(trained.payload))
    pool.configure(spec)
    jobs = [Job("reference", 0, number_, (number_,)) for number_ in numbers]
    references = gather(dispatcher, jobs, progress)
    states = {number_: pool.fetch(done.payload) for number_, done in references.items()}
    spec = replace(spec, hosts=tuple(states[number_] for number_ in numbers[: settings.hosts]))
    pool.configure(spec)
    jobs = [Job("assays", 0, number_, (number_, _states(references[number_], pool))) for number_ in numbers]
    sampled = gather(dispatcher, jobs, progress)
    return spec, fit, [sampled[number_].report for number_ in numbers]


def _states(reference: Done, pool: WorkerPool) -> list[bytes]:
    """Return the states of a reference organism at its checkpoints, in rising order."""
    by_digest = pool.fetch(reference.genomes)
    return [by_digest[digest] for _, digest in reference.report]


def gather(dispatcher: Dispatcher, jobs: Sequence[Job], progress: Callable[[], None]) -> dict[int, Done]:
    """Do independent jobs and return the answers by organism.

    Parameters
    ----------
    dispatcher
        Sends them to trainers.
    jobs
        One for each organism, in their order of priority.
    progress
        Called after each answer.
    """
    for index, job in enumerate(jobs):
        dispatcher.submit(job, (job.round, index))
    answers = {}
    for _ in jobs:
        done = dispatcher.answer()
        answers[done.job.organism] = done
        progress()
    return answers
