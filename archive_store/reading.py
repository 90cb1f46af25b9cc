"""A run, live or finished, as pandas frames, NumPy arrays and a ribs archive; nothing is ever written.

run = open_run("out/digits")
run.rounds().plot(x="round", y="qd_score")
archive = run.archive()
best = run.genome(archive.best_elite["solution"])
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from archive_store import frames
from archive_store.columns import COLUMNS
from archive_store.encoding import decode_centroids, decode_genome
from archive_store.errors import UNREADABLE, JournalError, RunDirectoryError, StoreError
from archive_store.journal.chain import Event
from archive_store.journal.journal import SCORE_NAME, SHADOWED, Journal
from archive_store.journal.values import checked, values
from archive_store.run_directory import RunDirectory
from archive_store.shown import shown
from qd.fitness import entrants
from qd.measures import FEWEST_MEASURES, MEASURES, MOST_MEASURES, Ranges, short_name
from qd.records import Census, Genome, Outcome, Shadow, read
from qd.typed import Finite, reader

if TYPE_CHECKING:
    import pandas as pd
    from ribs.archives import CVTArchive


def open_run(path: str | Path) -> "Run":
    """Open the folder of a run, whether it is finished, stopped or still being written.

    Raises
    ------
    StoreError
        In one sentence: if the folder is no run, has no journal yet, or was damaged. Of a finished run the
        whole files are compared with the manifest; blobs are verified as they are read.
    """
    directory = RunDirectory.open(Path(path))
    try:
        directory.check_manifest(blobs=False)
    except RunDirectoryError:
        with directory.journal() as journal:
            journal.verify_chain()  # says which event it is, where it can
        raise
    directory.journal().close()
    return Run(directory, directory.config(), directory.environment())


def entrants_of(journal: Journal, config: Mapping[str, Any], round: int) -> dict[str, int]:
    """Return how many components of a round compete and how many do not, by reason (`qd.fitness.entrants`).

    Parameters
    ----------
    journal, config
        Of the run.
    round
        A committed one.
    """
    objective = config.get("objective")
    maturity = objective.get("maturity") if isinstance(objective, Mapping) else None
    censuses = values(journal.events(round=round, kind="census"), Census)
    records = (record for census in censuses for record in census.records)
    return entrants(records, maturity if isinstance(maturity, int) else 0)


@dataclass(frozen=True, slots=True, repr=False)
class Run:
    """Reader of a run's folder; every method reads anew, so that calling it again follows a live run.

    `columns` says what each column of a frame means; every frame of a run without such events is
    empty and has its columns. Every method raises a `StoreError` on damaged files.
    """

    directory: RunDirectory
    config: dict[str, Any]  # as in config.yaml
    environment: dict[str, Any]  # as in environment.json

    def __repr__(self) -> str:
        with self.directory.journal() as journal:
            last, wanted = journal.last_round(), self.config.get("rounds")
        task, organism = (self.config.get(section) for section in ("task", "organism"))
        told = [
            f"{last or 0} of {wanted} rounds",
            "finished" if self.directory.finished() else "not finished",
        ]
        told += [f"task {task['name']}"] if isinstance(task, Mapping) and "name" in task else []
        told += [f"family {organism['kind']}"] if isinstance(organism, Mapping) and "kind" in organism else []
        return shown(f"Run({str(self.directory.path)!r}: {', '.join(told)}, seed {self.config.get('seed')})")

    def _repr_html_(self) -> str:
        from archive_store.frames.notebook import as_html

        return as_html(self)

    @staticmethod
    def columns(frame: str) -> Mapping[str, str]:
        """Return the meaning of every column of a frame, such as ``"records"`` (`archive_store.columns`).

        Raises
        ------
        StoreError
            If there is no such frame.
        """
        if frame not in COLUMNS:
            raise StoreError(f"a run has no frame {frame!r}; its frames are {', '.join(COLUMNS)}")
        return COLUMNS[frame]

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of the measures in order: columns of the frames, and what the axes of centroids are."""
        given = self.config.get("measures", MEASURES)
        names = tuple(short_name(str(name)) for name in given) if isinstance(given, (list, tuple)) else ()
        if not FEWEST_MEASURES <= len(set(names)) == len(names) <= MOST_MEASURES:
            raise StoreError(
                f"{self.directory.config_path} must name {FEWEST_MEASURES} to {MOST_MEASURES} different "
                f"measures, not {given}; restore it from a copy"
            )
        return names

    def rounds(self) -> "pd.DataFrame":
        """One row per round from 1 on: coverage, QD score, births, deaths, temperature, digest and more."""
        with self.directory.journal() as journal:
            events = list(journal.events(kind="summary"))
            looks = list(journal.events(kind="held_out"))
            digests = journal.rounds()
        for event in events:
            checked(event)
        return frames.rounds(events, digests, self.measures, looks)

    def census(self) -> "pd.DataFrame":
        """One row per organism and round: losses in nats per example, scores, components, quarantines."""
        return frames.census(self._events("census"))

    def records(self) -> "pd.DataFrame":
        """One row per living component and round: raw measures, assay, ablation, cost, genes, load and usage."""
        return frames.records(self._events("census"), self.measures)

    def decisions(self) -> "pd.DataFrame":
        """One row per birth or death that was considered: probability, draw and whether it happened."""
        return frames.decisions(self._events("decision"), self._events("census"))

    def trials(self) -> "pd.DataFrame":
        """One row per candidate of a birth that was tried: what it is made of, gain, strength, whether it was born."""
        return frames.trials(self._events("decision"), self._events("census"))

    def shadows(self) -> "pd.DataFrame":
        """One row per shadow of a birth (`execution.trials`): the material, and the losses that came of it."""
        with self.directory.journal() as journal:
            found = [incident.body for incident in journal.incidents() if incident.kind == SHADOWED]
        try:
            return frames.shadows(read(Shadow, json.loads(body)) for body in found)
        except ValueError as error:
            raise JournalError(
                f"the journal of {self.directory.path} holds a shadow of no birth ({shown(str(error))}); restore it "
                "from a copy"
            ) from None

    def outcomes(self) -> "pd.DataFrame":
        """One row per competition for a cell of the archive, in order."""
        return frames.outcomes(self._events("outcome"))

    def emitters(self) -> "pd.DataFrame":
        """One row per chunk of children: its emitter, what was scored, and what it brought to the archive."""
        with self.directory.journal() as journal:
            kinds = ("emission", "emitted", "outcome")
            return frames.emitters([event for kind in kinds for event in journal.events(kind=kind)])

    def children(self) -> "pd.DataFrame":
        """One row per child of an emitter that could win a cell: raw measures, assay, cost, genes, parents."""
        return frames.children([*self._events("emission"), *self._events("emitted")], self.measures)

    def held_out(self) -> "pd.DataFrame":
        """One row per elite and second look: what it is on examples that the search has not seen."""
        return frames.held_out(self._events("held_out"), self.measures)

    def elites(self, round: int | None = None) -> "pd.DataFrame":
        """One row per filled cell at the end of a round, by default the last; behaviours in [0, 1].

        Raises
        ------
        JournalError
            If the round was not committed.
        """
        with self.directory.journal() as journal:
            if round is not None:
                journal.digest(round)
            chunks = [
                event for kind in ("emission", "emitted") for event in journal.events(kind=kind, until=round)
            ]
            outcomes = journal.events(kind="outcome", until=round)
            decisions = journal.events(kind="decision", until=round)
            elites = frames.elites(outcomes, self.measures, chunks, decisions)
        if len(elites) and elites["cell"].max() >= (cells := len(self.centroids())):
            raise JournalError(
                f"run {self.directory.path} has an elite in cell {elites['cell'].max()} of an archive of {cells} "
                "cells; restore its journal and blobs from a copy"
            )
        return elites

    def validity(self) -> "pd.DataFrame":
        """One row per check of the behaviour space; round 0 is calibration."""
        events = [*self._events("calibration"), *self._events("validity")]
        return frames.validity([(event.round, checked(event)["verdict"]) for event in events], self.measures)

    def timings(self) -> "pd.DataFrame":
        """One row per measured duration in seconds."""
        with self.directory.journal() as journal:
            return frames.timings(journal.timings())

    def digest(self, round: int | None = None) -> str:
        """Return the digest of a round, by default of the last: equal digests, equal runs."""
        with self.directory.journal() as journal:
            return journal.digest(round)

    def score_name(self) -> str:
        """Return what the task calls its score, such as ``accuracy``."""
        with self.directory.journal() as journal:
            return journal.meta(SCORE_NAME) or "score"

    def calibration(self) -> dict[str, Any]:
        """Return what calibration found: digests of interface, hosts and centroids, ranges, reference, verdict.

        Raises
        ------
        JournalError
            If the run has not got so far.
        """
        events = self._events("calibration")
        if not events:
            raise JournalError(f"run {self.directory.path} is not calibrated yet; wait for its round 0")
        return dict(checked(events[0]))

    def ranges(self) -> Ranges:
        """Return what calibration found the measures to range over.

        Raises
        ------
        JournalError
            If the run has not got so far.
        """
        found = self.calibration()["ranges"]
        return Ranges(tuple(found["low"]), tuple(found["high"]))

    def centroids(self) -> np.ndarray:
        """The centroids of the cells, float64 [cells, p] for p measures, in the unit cube.

        Raises
        ------
        StoreError
            If they are of more or fewer measures than the configuration names.
        """
        points = decode_centroids(self.directory.blobs.get(self.calibration()["centroids"]))
        if points.shape[1] != len(self.measures):
            raise StoreError(
                f"run {self.directory.path} has centroids of {points.shape[1]} measures, and its "
                f"configuration names {len(self.measures)}; restore {self.directory.config_path} from a copy"
            )
        return points

    def archive(self, round: int | None = None, fields: Sequence[str] = ("round",)) -> "CVTArchive":
        """Return the elites at the end of a round, by default the last, as a new ribs archive to look at.

        A solution is an integer handle, which no emitter can vary (those of `runs.results.evaluator.Evaluator.archive`
        can be): the elite was the n-th candidate, counted from 0, that any cell accepted. ``run.genome(handle)`` gives
        its genome, and ``run.elites(round).set_index("handle")`` all that is known of it. Measures
        are behaviours in [0, 1]; objectives are the run's.

        Parameters
        ----------
        round
            After which to look.
        fields
            Columns of `elites` to carry along as extra fields, ``"genome"`` for example; ribs wants them of
            every solution that is added later.

        Raises
        ------
        StoreError
            If a field is no column of `elites`, or an elite is not nearest to its own cell's centroid.
        """
        from ribs.archives import CVTArchive

        elites = self.elites(round)
        unknown = sorted(set(fields) - set(elites.columns))
        if unknown:
            raise StoreError(f"elites have no column {unknown[0]!r}; known are {', '.join(elites.columns)}")
        archive = CVTArchive(
            solution_dim=(),
            centroids=self.centroids(),
            ranges=[(0.0, 1.0)] * len(self.measures),
            qd_score_offset=self._offset(),
            seed=self._seed(),
            solution_dtype=np.int64,
            extra_fields={field: ((), elites[field].dtype.type) for field in fields},
        )
        if len(elites):
            measures = elites[list(self.measures)].to_numpy()
            if (archive.index_of(measures) != elites["cell"]).any():
                message = f"run {self.directory.path} has an elite that is not nearest to its cell's centroid"
                raise StoreError(f"{message}; restore its journal and blobs from a copy")
            extra = {field: elites[field].to_numpy() for field in fields}
            archive.add(elites["handle"].to_numpy(), elites["objective"].to_numpy(), measures, **extra)
        return archive

    def genome(self, which: str | int) -> Genome:
        """Read a stored genome by its digest, or by a handle of `archive`.

        Raises
        ------
        StoreError
            If there is no such handle or blob, or the blob is damaged.
        """
        digest = which if isinstance(which, str) else self._accepted(int(which))
        return decode_genome(self.directory.blobs.get(digest))

    def factors(self, which: str | int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Read a genome's factors by matrix: ``U`` [rows, rank] and ``V`` [rank, columns], ``W = U @ V``."""
        arrays = self.genome(which).arrays
        names = [name.removesuffix(".U") for name in arrays if name.endswith(".U")]
        return {name: (arrays[f"{name}.U"], arrays[f"{name}.V"]) for name in names}

    def _offset(self) -> float:
        settings = self.config.get("archive", {})
        try:
            return reader(Finite)(settings.get("qd_offset", 0.0))
        except UNREADABLE:
            raise StoreError(
                f"{self.directory.config_path}: archive.qd_offset must be a number; restore it from a copy"
            ) from None

    def _seed(self) -> int:
        seed = self.config.get("seed", 0)
        if type(seed) is int and seed >= 0:
            return seed
        raise StoreError(f"{self.directory.config_path}: seed must be a whole number; restore it from a copy")

    def _accepted(self, handle: int) -> str:
        accepted = [each for each in values(self._events("outcome"), Outcome) if each.status != "reject"]
        if not 0 <= handle < len(accepted):
            message = (
                f"run {self.directory.path} has no handle {handle}; its handles go up to {len(accepted) - 1}"
            )
            raise StoreError(message)
        return accepted[handle].candidate.genome

    def _events(self, kind: str) -> list[Event]:
        with self.directory.journal() as journal:
            return list(journal.events(kind=kind))
