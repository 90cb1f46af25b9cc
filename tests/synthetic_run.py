"""A made-up but plausible run on disk, so that readers and plots can be tested without training.

Components are random walks in the unit cube; archive, lifecycle and chain obey the rules of a real run.
Where there are kinds of examples, each token of theirs goes to two components, as in a family of experts.
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from archive_store.chain import numbered, round_digest
from archive_store.encoding import encode, encode_genome
from archive_store.journal import BASE, Journal, Timing
from archive_store.run_directory import RunDirectory
from qd import seeding
from qd.canonical import canonical, sha256
from qd.measures import MEASURES
from qd.records import Birth, Candidate, Census, ComponentId, Death, Decision, Genome, Outcome, Record

CAPACITY = 6
FOUNDERS = 4
TOKENS = 60  # of each kind of example in the probe split
CHOICES = 2  # components that a token goes to
LOW = (0.0, 0.0, -1.5, 0.0, 1.0)
HIGH = (0.9, 0.6, 1.0, 0.5, 6.0)


@dataclasses.dataclass
class Part:
    """A living component: its record so far and where it is in the unit cube."""

    component: ComponentId
    parents: tuple[ComponentId, ...]
    lineage: ComponentId
    place: np.ndarray
    genes: tuple[tuple[str, float], ...]


class Synthetic:
    """The state of a made-up run while it is written."""

    def __init__(self, seed: int, organisms: int, rounds: int, cells: int, kinds: Sequence[str] = ()) -> None:
        self.seed, self.organisms, self.rounds, self.kinds = seed, organisms, rounds, kinds
        self.rng = seeding.generator(seed, 0, "synthetic")
        self.centroids = self.rng.uniform(size=(cells, len(MEASURES)))
        self.elites: dict[int, Candidate] = {}
        self.genomes: dict[str, bytes] = {}
        self.pools: dict[int, dict[int, Part]] = {
            organism: {slot: self.founder(organism, slot) for slot in range(FOUNDERS)}
            for organism in range(organisms)
        }

    def founder(self, organism: int, slot: int) -> Part:
        name = ComponentId(organism, 0, slot)
        return Part(name, (), name, self.rng.uniform(0.1, 0.9, len(MEASURES)), self.genes())

    def genes(self) -> tuple[tuple[str, float], ...]:
        return (
            ("rank", float(self.rng.integers(2, 9))),
            ("temperature", float(self.rng.uniform(0.5, 2.0))),
            ("width", float(self.rng.integers(2, 9))),
            ("window", float(self.rng.integers(1, 17))),
        )

    def phase(self, round: int) -> str:
        share = round / self.rounds
        return "warm-up" if share <= 0.1 else "gentle" if share <= 0.3 else "full"

    def temperature(self, round: int) -> float:
        return max(0.01, 0.5 * (1 - (round - 1) / self.rounds))

    def decide(self, organism: int, round: int) -> Decision:
        phase = self.phase(round)
        births = () if phase == "warm-up" else self.births(organism, round)
        deaths = self.deaths(organism, round) if phase == "full" else ()
        return Decision(
            organism, round, 25 * (round - 1), phase, self.temperature(round), 0.4, None, births, deaths,
            False,
        )  # fmt: skip

    def births(self, organism: int, round: int) -> tuple[Birth, ...]:
        free = [slot for slot in range(CAPACITY) if slot not in self.pools[organism]]
        if not free or not self.elites:
            return ()
        ranked = [self.elites[cell] for cell in sorted(self.elites)]
        operator = "line" if len(ranked) > 1 and self.rng.uniform() < 0.3 else "bootstrap"
        chosen = [ranked[i] for i in self.rng.choice(len(ranked), 1 + (operator == "line"), replace=False)]
        parents, genomes = tuple(item.component for item in chosen), tuple(item.genome for item in chosen)
        objective, threshold = chosen[0].objective, float(np.median([item.objective for item in ranked]))
        short = max(0.0, threshold - objective)
        probability = math.exp(-short / self.temperature(round))
        context = f"birth:{organism}:{free[0]}:{chosen[0].genome[:8]}"
        draw = seeding.uniform(self.seed, round, context)
        happens = seeding.happens(probability, draw)
        lineage = chosen[0].lineage
        if happens:
            place = np.clip(np.array(chosen[0].behaviour) + self.rng.normal(0, 0.1, len(MEASURES)), 0, 1)
            name = ComponentId(organism, round, free[0])
            self.pools[organism][free[0]] = Part(name, parents, lineage, place, self.genes())
        sigma = 0.1 * self.temperature(round) / 0.5
        return (
            Birth(
                free[0], "archive", operator, parents, genomes, lineage, objective, threshold, sigma,
                probability, draw, context, happens,
            ),
        )  # fmt: skip

    def deaths(self, organism: int, round: int) -> tuple[Death, ...]:
        pool = self.pools[organism]
        old = [slot for slot in sorted(pool) if round - pool[slot].component.born >= 3]
        if round % 3 or len(pool) <= 3 or not old:
            return ()
        slot = old[int(self.rng.integers(len(old)))]
        z = float(self.rng.normal(-0.5, 0.5))
        probability = 0.0 if z >= 0 else 1 - math.exp(z / self.temperature(round))
        name = pool[slot].component
        draw = seeding.uniform(self.seed, round, f"cull:{name}")
        happens = seeding.happens(probability, draw)
        if happens:
            del pool[slot]
        return (Death(name, z, 0.0, probability, draw, "fitness", happens),)

    def census(self, organism: int, round: int) -> Census:
        records = [self.record(part, round) for _, part in sorted(self.pools[organism].items())]
        if self.kinds:
            records = self.routed(organism, round, records)
        loss = 2.3 * math.exp(-0.3 * round) + 0.05 * float(self.rng.uniform())
        last = round == self.rounds
        return Census(
            organism, round, 25 * round, loss, loss * 1.05, 2.3, loss + 0.02, loss + 0.03, 1 - loss / 3,
            loss + 0.04 if last else None, 0.99 - loss / 3 if last else None,
            sha256(self.state(organism, round)), tuple(sorted(records, key=lambda record: record.component)),
            None,
        )  # fmt: skip

    def state(self, organism: int, round: int) -> bytes:
        return encode({"weights": np.full(4, organism + round / 100)}, {"organism": organism, "round": round})

    def record(self, part: Part, round: int) -> Record:
        part.place = part.place + self.rng.normal(0, 0.02, len(MEASURES))
        rank = int(dict(part.genes)["rank"])
        arrays = {
            "qk.U": self.rng.normal(size=(8, rank)).astype(np.float32),
            "qk.V": self.rng.normal(size=(rank, 8)).astype(np.float32),
            "bias": self.rng.normal(size=8).astype(np.float32),
        }
        data = encode_genome(Genome("pseudopods", 0, part.genes, arrays))
        self.genomes[sha256(data)] = data
        assay = float(0.2 * self.rng.uniform() + 0.01 * round)
        measures = tuple(
            low + (high - low) * float(x) for low, high, x in zip(LOW, HIGH, part.place, strict=True)
        )
        return Record(
            part.component, part.parents, part.lineage, 0, part.genes, sha256(data),
            round - part.component.born + (part.component.born > 0), measures, assay, assay - 0.02,
            float(self.rng.normal(0.02, 0.01)), float(self.rng.uniform(0.1, 1)),
            1000.0 * rank, 400.0 + 10 * rank,
        )  # fmt: skip

    def routed(self, organism: int, round: int, records: list[Record]) -> list[Record]:
        """Let every kind of token prefer components by where they are, and count who serves how many."""
        rng = seeding.generator(self.seed, round, f"usage:{organism}")
        places = np.array([self.pools[organism][record.component.slot].place for record in records])
        shares = np.zeros((len(records), len(self.kinds)))
        for kind in range(len(self.kinds)):
            liking = 6 * places @ np.roll([1.0, 0.5, 0.0, -0.5, -1.0], kind)
            chosen = (liking + rng.gumbel(size=(TOKENS, len(records)))).argsort(axis=1)[:, -CHOICES:]
            shares[:, kind] = np.bincount(chosen.ravel(), minlength=len(records)) / TOKENS
        return [
            dataclasses.replace(
                record, load=float(row.mean()), usage=tuple(zip(self.kinds, row.tolist(), strict=True))
            )
            for record, row in zip(records, shares, strict=True)
        ]

    def compete(self, records: Iterable[Record], round: int) -> list[Outcome]:
        """Let the mature components compete one at a time; the nearest centroid is the cell."""
        outcomes = []
        for record in records:
            if record.age < 2:
                continue
            place = (np.array(record.measures) - LOW) / (np.array(HIGH) - LOW)
            behaviour = np.clip(place, 0, 1)
            candidate = Candidate(
                record.component, record.parents, record.lineage, record.depth, record.genes, record.genome,
                round, tuple(map(float, behaviour)), tuple(map(bool, behaviour != place)),
                0.7 * min(1.0, record.assay / 0.3) + 0.2 * (1 - record.flops / 16000) + 0.05,
            )  # fmt: skip
            cell = int(np.argmin(((self.centroids - behaviour) ** 2).sum(axis=1)))
            outcomes.append(self.outcome(candidate, cell))
        return outcomes

    def outcome(self, candidate: Candidate, cell: int) -> Outcome:
        incumbent = self.elites.get(cell)
        if incumbent is not None and incumbent.objective >= candidate.objective:
            return Outcome(candidate, "reject", cell, incumbent.component, incumbent.objective)
        self.elites[cell] = candidate
        if incumbent is None:
            return Outcome(candidate, "insert", cell, None, None)
        return Outcome(candidate, "replace", cell, incumbent.component, incumbent.objective)

    def summary(self, round: int, decisions: list[Decision], censuses: list[Census]) -> dict[str, Any]:
        elites = list(self.elites.values())
        cells, objectives = len(self.centroids), [elite.objective for elite in elites]
        scores = [census.validation_score for census in censuses]
        return {
            "round": round,
            "coverage": len(elites) / cells,
            "component_coverage": len({elite.component for elite in elites}) / cells,
            "lineage_coverage": len({elite.lineage for elite in elites}) / cells,
            "qd_score": math.fsum(objectives),
            "normalised_qd_score": math.fsum(objectives) / cells,
            "best_objective": max(objectives, default=None),
            "mean_objective": math.fsum(objectives) / len(elites) if elites else None,
            "births": sum(birth.happens for decision in decisions for birth in decision.births),
            "deaths": sum(death.happens for decision in decisions for death in decision.deaths),
            "alive": sum(map(len, self.pools.values())),
            "quarantined": 0,
            "temperature": self.temperature(round),
            "phase": self.phase(round),
            "mean_loss": math.fsum(census.loss for census in censuses) / len(censuses),
            "best_validation_score": max(scores),
            "mean_validation_score": math.fsum(scores) / len(scores),
            "out_of_range": [round, 0, 0, 0, 1],
            "visited": len(elites),
        }

    def verdict(self) -> dict[str, Any]:
        """Made-up adequacy figures with the fields of `qd.validity.Verdict`."""
        noise = self.rng.normal(0, 0.1, (5, 5))
        correlations = np.clip(0.3 + (noise + noise.T) / 2, -0.9, 0.9)
        np.fill_diagonal(correlations, 1.0)
        kmo = float(self.rng.uniform(0.5, 0.65))
        return {
            "status": "ok" if kmo >= 0.6 else "warn",
            "reasons": [] if kmo >= 0.6 else [f"KMO is {kmo:.2f}, under 0.6"],
            "advice": ["keep it"] * len(MEASURES), "gate": "robust", "names": list(MEASURES),
            "n": 128, "organisms": self.organisms, "constant": [], "duplicated": [],
            "saturation": [0.01] * 5, "reliability": [0.9, 0.8, 0.85, 0.95, None],
            "correlations": correlations.tolist(),
            "largest_correlation": float(np.abs(correlations - np.eye(5)).max()),
            "effective_dimension": 4.1, "kmo": kmo, "kmo_interval": [kmo - 0.1, kmo + 0.1],
            "msa": [kmo + shift for shift in (-0.1, 0.1, 0.05, -0.05, 0.0)],
            "bartlett_chi2": 120.0, "bartlett_p": 1e-9,
        }  # fmt: skip


def configuration(
    seed: int, organisms: int, rounds: int, cells: int, measures: Sequence[str] | None = None
) -> dict[str, Any]:
    """The configuration that a run like this one would have, as far as readers look at it."""
    return {
        "name": "synthetic", "seed": seed, "rounds": rounds, "lag": 1, "births": "archive",
        "task": {"name": "digits"},
        "organism": {"kind": "pseudopods", "count": organisms, "capacity": CAPACITY, "initial": FOUNDERS},
        "archive": {"cells": cells, "centroids": "halton", "qd_offset": 0.0},
        "annealing": {"kind": "linear", "start": 0.5, "floor": 0.01},
        "validity": {"gate": "robust"},
        "execution": {"executor": "inline", "workers": 1},
        **({"measures": list(measures)} if measures else {}),
    }  # fmt: skip


def write_run(
    path: Path,
    seed: int = 0,
    organisms: int = 4,
    rounds: int = 12,
    cells: int = 64,
    finished: bool = True,
    measures: Sequence[str] | None = None,
    kinds: Sequence[str] = (),
) -> Path:
    """Write a run with events of every kind and give its folder; unfinished, it looks as after a crash.

    Without measures the configuration does not say which they are; without kinds of examples components have no
    loads.
    """
    run = Synthetic(seed, organisms, rounds, cells, kinds)
    config = configuration(seed, organisms, rounds, cells, measures)
    directory = RunDirectory.create(path, yaml.safe_dump(config), {"python": "3.11", "source": "0" * 64})
    journal = Journal.create(directory.journal_path)
    interface, centroids = directory.blobs.put_all(
        [encode({"stem": np.eye(4)}, {}), encode({"centroids": run.centroids}, {})]
    )
    calibration = {
        "interface": interface, "hosts": [interface] * 3, "ranges": {"low": LOW, "high": HIGH},
        "reference": 0.3, "largest_flops": 16000.0, "centroids": centroids, "verdict": run.verdict(),
    }  # fmt: skip
    science = {key: value for key, value in config.items() if key != "execution"}
    digest = canonical({"format": 2, "config": science, "data": "0" * 64, "centroids": centroids})
    journal.put_meta(BASE, digest)
    for round in range(rounds + 1):
        items: list[tuple[str, Any]] = _round(run, round) if round else [("calibration", calibration)]
        events = numbered(round, items)
        digest = round_digest(digest, events)
        accepted = [value for kind, value in items if kind == "outcome" and value.status != "reject"]
        directory.blobs.put_all(run.genomes[outcome.candidate.genome] for outcome in accepted)
        kept = {o: run.state(o, round) for o in range(organisms)} if round and round % 5 == 0 else {}
        states = dict(zip(kept, directory.blobs.put_all(kept.values()), strict=True))
        timings = [Timing(o, "train", 0.1 + 0.01 * o, f"worker-{o % 2}") for o in range(organisms)]
        journal.write_round(
            round, events, states, [*timings, Timing(None, "archive", 0.002, "driver")], digest
        )
    journal.incident("2025-01-01T00:00:00+00:00", "retry", {"attempt": 2}, round=3, organism=1)
    if not finished:
        journal.close()
        return path
    journal.finish()
    directory.write_manifest(digest)
    return path


def _round(run: Synthetic, round: int) -> list[tuple[str, Any]]:
    decisions = [run.decide(organism, round) for organism in range(run.organisms)]
    censuses = [run.census(organism, round) for organism in range(run.organisms)]
    outcomes = run.compete((record for census in censuses for record in census.records), round)
    items: list[tuple[str, Any]] = [("decision", decision) for decision in decisions]
    items += [("census", census) for census in censuses]
    items += [("outcome", outcome) for outcome in outcomes]
    if round % 4 == 0:
        items.append(("validity", {"round": round, "verdict": run.verdict()}))
    return [*items, ("summary", run.summary(round, decisions, censuses))]
