"""The constants that calibration finds: ranges, reference, centroids and the verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from archive_store.encoding import encode
from qd import centroids as tessellations
from qd.canonical import number, sha256
from qd.fitness import Weights, Yardstick
from qd.measures import Ranges, ranges_from_samples
from qd.validity.reliability import split_half
from qd.validity.remedies import other_measures, ways_out
from qd.validity.verdict import Verdict, assess
from runs.calibration.outlook import Outlook, outlook
from runs.config.schema import Config
from runs.config.sections import CENTROIDS, ON_SAMPLES, ObjectiveConfig
from runs.errors import ConfigError, RunError, readable
from runs.training.build import build
from runs.training.calibration_jobs import Fit, Sampled
from runs.training.world import WorldSpec

LARGEST_CENTROIDS = 1 << 26  # bytes, a million cells of eight measures
REFERENCE_QUANTILE = 0.99  # of the assays in calibration: what counts as half of full marks


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """The constants that calibration found."""

    ranges: Ranges
    reference: float  # assay that counts as half of full marks, in nats
    gradients: tuple[
        float, ...
    ]  # sizes of gate gradients in the hosts, rising: a component's place among them counts
    largest_flops: float  # of the costliest component that the genes allow
    centroids: np.ndarray  # float64 [cells, p] for p measures, in the unit cube
    verdict: Mapping[str, Any]  # canonical form of a `qd.validity.verdict.Verdict`
    outlook: Outlook | None = None  # None in runs that were made before it was kept

    def yardstick(self, objective: ObjectiveConfig) -> Yardstick:
        """Return what makes objectives and behaviours of measurements in this run."""
        weights = Weights(objective.task, objective.efficiency, objective.gradient)
        constants = (self.ranges, self.reference, self.largest_flops, self.gradients)
        return Yardstick(*constants, weights, objective.kind)

    def event(self, spec: WorldSpec) -> dict[str, Any]:
        """Return what the journal holds of it: digests of interface, hosts and centroids, and the rest itself."""
        assert spec.interface is not None
        known = {} if self.outlook is None else {"outlook": self.outlook}
        return known | {
            "interface": sha256(spec.interface),
            "hosts": [sha256(host) for host in spec.hosts],
            "ranges": self.ranges,
            "reference": self.reference,
            "gradients": self.gradients,
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
            If the event is no calibration, or its ranges and the centroids are of different measures.
        """
        with readable("the calibration in the journal"):
            low, high = (tuple(number(value) for value in event["ranges"][end]) for end in ("low", "high"))
            if centroids.shape[1] != len(low):
                raise ValueError(
                    f"it has ranges of {len(low)} measures and centroids of {centroids.shape[1]}"
                )
            return cls(
                ranges=Ranges(low, high),
                reference=number(event["reference"]),
                gradients=tuple(number(value) for value in event["gradients"]),
                largest_flops=number(event["largest_flops"]),
                centroids=centroids,
                verdict=event["verdict"],
                outlook=Outlook.read(event["outlook"]) if "outlook" in event else None,
            )


def constants(config: Config, spec: WorldSpec, fit: Fit, sampled: Sequence[Sampled]) -> Calibration:
    """Find ranges, reference, centroids and verdict from what calibration measured.

    Parameters
    ----------
    config
        Names the p measures, and says how the archive is tessellated and the space is judged.
    spec
        The world, with interface and hosts.
    fit
        Of the organism that trained the interface.
    sampled
        Every calibration organism, with raw measures [n, p] at its checkpoints.

    Raises
    ------
    RunError
        If a measure is constant, the behaviour space is not sound, no component helps a host, or centroids
        cannot be placed.
    """
    samples = [sample for each in sampled for sample in each.samples]
    measures = np.array([row for sample in samples for row in sample.measures])
    groups = [sample.organism for sample in samples for _ in sample.measures]
    worth = [value for each in sampled for value in each.worth]
    world = build(replace(spec, hosts=()))
    try:
        known = world.species.analytic_ranges()
        analytic = {name: known[name] for name in config.measures if name in known}
        ranges = ranges_from_samples(measures, analytic, config.measures)
    except ValueError as error:
        raise RunError(
            f"the behaviour space cannot be calibrated: {error}; {other_measures(config.measures)}"
        ) from error
    verdict = assess(
        measures,
        groups,
        config.measures,
        split_half(
            [row for each in sampled for row in each.even], [row for each in sampled for row in each.odd]
        ),
        ranges,
        config.validity.gate,
        config.seed,
        stops=True,
    )
    _pass_or_stop(verdict)
    reference = float(np.quantile([value.mean for value in worth], REFERENCE_QUANTILE))
    if not reference > 0:
        raise RunError(
            f"no component of {len(worth)} helps the reference hosts (99th percentile of the assay: "
            f"{reference:.3g} nats; a training loss of {fit.loss:.4g}, where the best constant answer has "
            f"{fit.constant:.4g}); raise calibration.steps or organism.dim"
        )
    behaviours = ranges.behaviours(measures)[0]
    centroids = _centroids(config, behaviours)
    costliest = tuple((name, gene.high) for name, gene in sorted(world.species.genes.items()))
    return Calibration(
        ranges=ranges,
        reference=reference,
        gradients=tuple(sorted(value.gradient for value in worth)),
        largest_flops=float(world.species.cost(costliest)[0]),
        centroids=centroids,
        verdict=plain_verdict(verdict),
        outlook=outlook(fit, worth, _quantisation(config, behaviours, centroids)),
    )


def plain_verdict(verdict: Verdict) -> Mapping[str, Any]:
    """Return a verdict as the journal holds it."""
    from qd.canonical import plain

    return plain(verdict)


def _pass_or_stop(verdict: Verdict) -> None:
    if verdict.status == "stop":
        raise RunError(
            f"the behaviour space is not sound: {'; '.join(verdict.reasons)}. {ways_out(verdict.names, verdict.advice)}"
        )


def _centroids(config: Config, behaviours: np.ndarray) -> np.ndarray:
    way = config.archive.centroids
    try:
        if way in CENTROIDS:
            return _placed(way, config, behaviours)
        return tessellations.check(read_centroids(way), len(config.measures))
    except ValueError as error:
        raise RunError(f"archive.centroids={way}: {error}") from error


def _placed(way: str, config: Config, behaviours: np.ndarray) -> np.ndarray:
    cells, dims, seed = config.archive.cells, len(config.measures), config.seed
    if way == "halton":
        return tessellations.halton_cvt(cells, dims, seed)
    place = tessellations.kmeans_cvt if way == "kmeans" else tessellations.annealed_cvt
    return place(behaviours, cells, seed)


def _quantisation(config: Config, behaviours: np.ndarray, centroids: np.ndarray) -> list[tuple[str, float]]:
    """Return the error of the centroids beside the name of their way, and of all ways if they lie among samples."""
    own = config.archive.centroids
    placed = {own if own in CENTROIDS else "file": centroids}
    if own in ON_SAMPLES:
        placed |= {way: _placed(way, config, behaviours) for way in CENTROIDS if way != own}
    return [
        (way, tessellations.quantisation_error(behaviours, points)) for way, points in sorted(placed.items())
    ]


def read_centroids(path: str) -> np.ndarray:
    """Read a user's centroids from an .npy file.

    Raises
    ------
    ConfigError
        If the file cannot be read or holds no array.
    """
    try:
        if not Path(path).is_file():
            raise ValueError("it is no file")
        # Mapped, so that a file that announces more than it holds is refused before there is memory for it.
        mapped = np.lib.format.open_memmap(path, mode="r")
        if mapped.nbytes > LARGEST_CENTROIDS:
            raise ValueError(
                f"it has {mapped.nbytes:,} bytes of numbers, and at most {LARGEST_CENTROIDS:,} are read"
            )
        return np.array(mapped)
    except (OSError, ValueError, EOFError, OverflowError) as error:
        raise ConfigError(f"archive.centroids: {path} is not a readable .npy array ({error})") from error
