"""Calibration: what makes components of different organisms comparable, settled before round 1.

A shared, frozen interface; reference hosts for the assay; the range of every measure; the centroids; and
a verdict on the behaviour space.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from archive_store.encoding import encode
from qd import centroids as tessellations
from qd.canonical import number, sha256
from qd.measures import Ranges, ranges_from_samples
from qd.validity.reliability import split_half
from qd.validity.verdict import Verdict, assess
from runs.config.schema import Config
from runs.errors import ConfigError, RunError
from runs.readable import readable
from runs.trainer import INTERFACE, Sample
from runs.training.world import WorldSpec, build
from runs.workers.dispatch import Dispatcher
from runs.workers.pool import Done, Job

REFERENCE_QUANTILE = 0.99  # of the assays in calibration: what counts as full marks


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """The constants that calibration found."""

    ranges: Ranges
    reference: float  # assay that counts as full marks, in nats
    largest_flops: float  # of the costliest component that the genes allow
    centroids: np.ndarray  # float64 [cells, 5], in the unit cube
    verdict: Mapping[str, Any]  # canonical form of a `qd.validity.verdict.Verdict`

    def event(self, spec: WorldSpec) -> dict[str, Any]:
        """Give what the journal says of it."""
        assert spec.interface is not None
        return {
            "interface": sha256(spec.interface),
            "hosts": [sha256(host) for host in spec.hosts],
            "ranges": self.ranges,
            "reference": self.reference,
            "largest_flops": self.largest_flops,
            "centroids": sha256(self.encoded_centroids()),
            "verdict": self.verdict,
        }

    def encoded_centroids(self) -> bytes:
        """Encode the centroids as they are stored."""
        return encode({"centroids": self.centroids}, {})

    @classmethod
    def read(cls, event: Mapping[str, Any], centroids: np.ndarray) -> "Calibration":
        """Read it back from the journal's event and the stored centroids.

        Raises
        ------
        RunError
            If the event is no calibration.
        """
        with readable("the calibration in the journal"):
            low, high = (tuple(number(value) for value in event["ranges"][end]) for end in ("low", "high"))
            return cls(
                ranges=Ranges(low, high),
                reference=number(event["reference"]),
                largest_flops=number(event["largest_flops"]),
                centroids=centroids,
                verdict=event["verdict"],
            )


def calibrate(
    config: Config, spec: WorldSpec, dispatcher: Dispatcher, report: Callable[[float], None]
) -> tuple[WorldSpec, Calibration]:
    """Train interface and calibration organisms, and find the constants of the run.

    Parameters
    ----------
    spec
        The world without interface and hosts; it comes back with both.
    report
        Told the share that is done.

    Raises
    ------
    RunError
        If the behaviour space degenerates, no component helps any host, or a job fails.
    """
    settings = config.calibration
    numbers = [INTERFACE - 1 - index for index in range(settings.organisms)]
    stages = 1 + 2 * len(numbers) - settings.hosts
    finished = 0

    def progress() -> None:
        nonlocal finished
        finished += 1
        report(finished / stages)

    pool = dispatcher.pool
    pool.configure(spec)
    trained = gather(dispatcher, [Job("interface", 0, INTERFACE, ())], progress)[INTERFACE]
    spec = replace(spec, interface=pool.fetch(trained.payload))
    pool.configure(spec)
    jobs = [Job("reference", 0, number_, (number_,)) for number_ in numbers]
    references = gather(dispatcher, jobs, progress)
    states = {number_: pool.fetch(done.payload) for number_, done in references.items()}
    spec = replace(spec, hosts=tuple(states[number_] for number_ in numbers[: settings.hosts]))
    pool.configure(spec)
    guests = numbers[settings.hosts :]
    assays = gather(dispatcher, [Job("assays", 0, guest, (states[guest],)) for guest in guests], progress)
    samples = [sample for number_ in numbers for sample in references[number_].report]
    values = [value for guest in guests for value in assays[guest].report]
    return spec, constants(config, spec, samples, values)


def gather(dispatcher: Dispatcher, jobs: Sequence[Job], progress: Callable[[], None]) -> dict[int, Done]:
    """Do independent jobs and give the answers by organism."""
    for index, job in enumerate(jobs):
        dispatcher.submit(job, (job.round, index))
    answers = {}
    for _ in jobs:
        done = dispatcher.answer()
        answers[done.job.organism] = done
        progress()
    return answers


def constants(
    config: Config, spec: WorldSpec, samples: Sequence[Sample], assays: Sequence[float]
) -> Calibration:
    """Find ranges, reference, centroids and verdict from what calibration measured.

    Parameters
    ----------
    samples
        Of every calibration organism and checkpoint.
    assays
        Of the fully trained components of the organisms that are no hosts, in nats.
    """
    measures = np.array([row for sample in samples for row in sample.measures])
    groups = [sample.organism for sample in samples for _ in sample.measures]
    last = max(sample.step for sample in samples)
    ends = [sample for sample in samples if sample.step == last]
    world = build(replace(spec, hosts=()))
    try:
        known = world.species.analytic_ranges()
        analytic = {name: known[name] for name in config.measures if name in known}
        ranges = ranges_from_samples(measures, analytic, config.measures)
    except ValueError as error:
        raise RunError(f"the behaviour space cannot be calibrated: {error}") from error
    verdict = assess(
        measures,
        groups,
        config.measures,
        split_half(
            [row for sample in ends for row in sample.even], [row for sample in ends for row in sample.odd]
        ),
        ranges,
        config.validity.gate,
        config.seed,
        stops=True,
    )
    _pass_or_stop(verdict)
    reference = float(np.quantile(assays, REFERENCE_QUANTILE))
    if not reference > 0:
        raise RunError(
            f"no component of {len(assays)} helps the reference hosts (99th percentile of the assay: "
            f"{reference:.3g} nats); raise calibration.steps or organism.dim"
        )
    costliest = tuple((name, gene.high) for name, gene in sorted(world.species.genes.items()))
    return Calibration(
        ranges=ranges,
        reference=reference,
        largest_flops=float(world.species.cost(costliest)[0]),
        centroids=_centroids(config, ranges, measures),
        verdict=plain_verdict(verdict),
    )


def plain_verdict(verdict: Verdict) -> Mapping[str, Any]:
    """Give a verdict as the journal holds it."""
    from qd.canonical import plain

    return plain(verdict)


def _pass_or_stop(verdict: Verdict) -> None:
    if verdict.status == "stop":
        raise RunError(f"the behaviour space is not sound: {'; '.join(verdict.reasons)}")


def _centroids(config: Config, ranges: Ranges, measures: np.ndarray) -> np.ndarray:
    settings = config.archive
    try:
        if settings.centroids == "halton":
            return tessellations.halton_cvt(settings.cells, len(config.measures), config.seed)
        if settings.centroids == "kmeans":
            return tessellations.kmeans_cvt(ranges.behaviours(measures)[0], settings.cells, config.seed)
        return tessellations.check(read_centroids(settings.centroids), len(config.measures))
    except ValueError as error:
        raise RunError(f"archive.centroids={settings.centroids}: {error}") from error


def read_centroids(path: str) -> np.ndarray:
    """Read a user's centroids from an .npy file.

    Raises
    ------
    ConfigError
        If the file cannot be read or holds no array.
    """
    try:
        return np.load(Path(path), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(f"archive.centroids: {path} is not a readable .npy array ({error})") from error
