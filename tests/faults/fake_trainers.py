"""Organisms that are not trained: pure functions from an order to a census, fast enough for property tests."""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any

from qd.canonical import canonical, sha256
from qd.centroids import halton_cvt
from qd.emitters.contest import Contest
from qd.emitters.kinds import KINDS
from qd.emitters.plan import child_id
from qd.emitters.records import Emission, Emitted, Tried
from qd.fitness import candidate
from qd.lifecycle.trial import born, choose, died
from qd.measures import Ranges
from qd.records import Birth, Census, Child, ComponentId, Decision, Record, Scored, Trial, component_id
from qd.seeding import generator, uniform
from runs.calibration.constants import Calibration
from runs.config.reader import load
from runs.config.schema import Config
from runs.rounds.ledger import Closed, Ledger
from runs.training.answer import EmitReport, RoundReport

Change = Callable[[Census], Census]


@lru_cache(64)
def ledger_config(**values) -> Config:
    """Three organisms and five rounds in which births and deaths happen, and two chunks of children in each."""
    changes = {"rounds": 5, "lifecycle.warmup": 0, "lifecycle.gentle": 0, "lifecycle.quiet": 0}
    changes |= {"emitters.children": 5, "emitters.chunk": 3, "emitters.kinds": list(KINDS)} | values
    return load("smoke", [f"{key}={value}" for key, value in changes.items()])


VERDICT = {"status": "skipped", "reasons": ["made up"], "kmo": None, "kmo_interval": None, "msa": None}


@cache
def calibration(cells: int = 24) -> Calibration:
    return Calibration(
        ranges=Ranges((0.0,) * 5, (1.0,) * 5),
        reference=1.0,
        gradients=tuple(place / 10 for place in range(11)),
        largest_flops=100.0,
        centroids=halton_cvt(cells, 5, 0),
        verdict=VERDICT,
    )


def genome_bytes(name: ComponentId, round: int) -> bytes:
    """Give a component's genome as of a round: more than one sector of a disk holds."""
    return f"{name} {round}\n".encode("ascii") * 100


class FakeTrainer:
    """The life of one organism; every number is drawn by the names of component and round."""

    def __init__(self, config: Config, organism: int, change: Change = lambda census: census) -> None:
        self.config, self.organism, self.change = config, organism, change
        founders = [ComponentId(organism, 0, slot) for slot in range(config.organism.initial)]
        self.pool = {name.slot: (name, (), name) for name in founders}

    def census(self, order: Decision) -> Census:
        trials = tuple(self._trial(order, birth) for birth in order.births if birth.happens and birth.tried)
        undecided = Census(
            self.organism, order.round, 0, 0, 0, 0, 0, 0, 0, None, None, "", (), None, trials=trials
        )
        for death in died(order, undecided):
            del self.pool[death.component.slot]
        for birth, proposal in born(order, undecided):
            name = ComponentId(self.organism, order.round, birth.slot)
            assert birth.slot not in self.pool, "a newborn was put where something lives"
            self.pool[birth.slot] = (name, proposal.parents, proposal.lineage or name)
        steps = self.config.training.steps_per_round
        draw = generator(self.config.seed, order.round, f"census:{self.organism}").random
        return self.change(
            Census(
                organism=self.organism,
                round=order.round,
                step=order.round * steps,
                loss=1.0,
                loss_ema=1.0,
                first_loss=1.0,
                probe_loss=draw(),
                validation_loss=draw(),
                validation_score=draw(),
                test_loss=None,
                test_score=None,
                state=sha256(f"{self.organism} {order}"),
                records=tuple(self._record(order.round, *part) for part in sorted(self.pool.values())),
                quarantine=None,
                trials=trials,
            )
        )

    def _trial(self, order: Decision, birth: Birth) -> Trial:
        """Draw the gains of a birth's candidates; of some births none has any."""
        draw = generator(self.config.seed, order.round, f"trial:{self.organism}:{birth.slot}").random
        gains = tuple((draw(len(birth.proposals)) - 0.6).tolist())
        strengths = tuple(1.0 if draw() < 0.5 else 0.25 for _ in gains)
        chosen = choose(birth, gains, self.config.lifecycle.only_gains)
        return Trial(birth.slot, 1.0, gains, chosen, strengths, 100.0)

    def _record(self, round: int, name: ComponentId, parents, lineage) -> Record:
        draw = generator(self.config.seed, round, f"record:{name}").random
        assay = draw()
        return Record(
            component=name,
            parents=parents,
            lineage=lineage,
            depth=0,
            genes=(("rank", 2.0),),
            genome=sha256(genome_bytes(name, round)),
            age=round - max(name.born, 1) + 1,
            measures=tuple(draw(5).tolist()),
            assay=assay,
            assay_lower=assay - 0.2,
            ablation=draw() - 0.2,
            gradient=draw(),
            flops=100 * draw(),
            bytes=100 * draw(),
        )


def advance(
    config: Config,
    state: bytes | None,
    order: Decision,
    genomes: Mapping[str, bytes],
    explodes: float = 0.0,
) -> tuple[RoundReport, bytes, dict[str, bytes]]:
    """Carry one organism through one round, as `runs.trainer.advance` does: a pure function of its values.

    The state is the canonical JSON of organism, round and living components. What is born must have been
    given the bytes of its parents' genomes. A share `explodes` of the rounds, chosen by a named draw, is
    quarantined: the state is the one before.
    """
    trainer = FakeTrainer(config, order.organism)
    if state is not None:
        trainer.pool = _pool(state, order)
    before = dict(trainer.pool)
    if order.reseed:
        trainer.pool = {}
    proposals = [proposal for birth in order.births if birth.happens for proposal in birth.proposals]
    for proposal in proposals:
        if proposal.genomes:  # a clone's parent is the organism's own
            for parent, digest in zip(proposal.parents, proposal.genomes, strict=True):
                assert sha256(genomes[digest]) == digest, "a parent's genome is not what its digest says"
                assert genomes[digest].startswith(f"{parent} ".encode("ascii")), "a genome is another's"
    census = trainer.census(order)
    if uniform(config.seed, order.round, f"explodes:{order.organism}") < explodes:
        trainer.pool = before
        census = dataclasses.replace(
            census, loss=math.nan, records=(), trials=(), quarantine="the loss became nan"
        )
    living = [list(part) for part in sorted(trainer.pool.values())]
    after = canonical({"organism": order.organism, "round": order.round, "pool": living}).encode("ascii")
    encoded = {each.genome: genome_bytes(each.component, order.round) for each in census.records}
    return RoundReport(dataclasses.replace(census, state=sha256(after)), {"total": 0.0}), after, encoded


def _pool(
    state: bytes, order: Decision
) -> dict[int, tuple[ComponentId, tuple[ComponentId, ...], ComponentId]]:
    before = json.loads(state)
    assert (before["organism"], before["round"]) == (order.organism, order.round - 1), "a state is another's"
    named = [
        (component_id(name), tuple(map(component_id, parents)), component_id(lineage))
        for name, parents, lineage in before["pool"]
    ]
    return {name.slot: (name, parents, lineage) for name, parents, lineage in named}


def emit(
    config: Config, order: Emission, genomes: Mapping[str, bytes], contest: Contest | None = None
) -> tuple[EmitReport | None, bytes, dict[str, bytes]]:
    """Make and score children, as `runs.training.search.emit.emit` does, or without a contest only make them again."""
    for parent in order.parents:
        assert sha256(genomes[parent.genome]) == parent.genome, (
            "a parent's genome is not what its digest says"
        )
        assert genomes[parent.genome].startswith(f"{parent.component} ".encode("ascii")), (
            "a genome is another's"
        )
    children = [_child(config, order, place) for place in range(len(order.children))]
    encoded = {child.genome: genome_bytes(child.component, order.round) for child in children}
    if contest is None:
        return None, b"", encoded
    useful = [child for child in children if child.assay_lower > 0]
    entrants = [candidate(child, order.round, contest.yardstick) for child in useful]
    winners = tuple(useful[place] for place in contest.contenders(entrants))
    tried = ()
    if order.campaign is not None:
        cells = contest.cells([entrant.behaviour for entrant in entrants]).tolist()
        known = {
            each.component: Tried(cell, each.objective) for cell, each in zip(cells, entrants, strict=True)
        }
        tried = tuple(known.get(child.component) for child in children)
    cost = 10.0 + order.chunk
    found = Emitted(order.round, order.chunk, len(children), len(useful), 0.5, cost, winners, tried)
    return EmitReport(found, {"total": 0.0}), b"", {child.genome: encoded[child.genome] for child in winners}


def _child(config: Config, order: Emission, place: int) -> Child:
    name = child_id(config.organism.count, order, place)
    draw = generator(config.seed, order.round, f"child:{name}").random
    parents = [order.parents[one] for one in order.children[place]]
    assay = 2 * draw()
    return Child(
        component=name,
        parents=tuple(parent.component for parent in parents),
        lineage=parents[0].lineage,
        depth=0,
        genes=(("rank", 2.0),),
        genome=sha256(genome_bytes(name, order.round)),
        measures=tuple(draw(5).tolist()),
        assay=assay,
        assay_lower=assay - 0.2,
        gradient=draw(),
        flops=100 * draw(),
    )


def _scored_again(config: Config, genome: bytes) -> Scored:
    assert genome == genome_bytes(*_named(genome)), "a genome is damaged"
    draw = generator(config.seed, 0, f"again:{sha256(genome)}").random
    assay = draw()
    return Scored(tuple(draw(5).tolist()), assay, assay - 0.2, assay + 0.2, draw(), 100 * draw())


def _named(genome: bytes) -> tuple[ComponentId, int]:
    """Read whose genome it is, and of which round."""
    name, round = genome.split(b"\n")[0].decode("ascii").split()
    return ComponentId(*map(int, name.split("."))), int(round)


def answer(config: Config, *arguments: Any, explodes: float = 0.0) -> tuple[Any, bytes, dict[str, bytes]]:
    """Do the job of these arguments: an emission comes first in those of emitters, genomes to be scored again alone."""
    if isinstance(arguments[0], tuple):
        return [_scored_again(config, genome) for genome in arguments[0]], b"", {}
    if isinstance(arguments[0], Emission):
        return emit(config, *arguments)
    return advance(config, *arguments, explodes=explodes)


class Play:
    """A ledger and its organisms, which answer in whatever order they are asked to."""

    def __init__(
        self, config: Config, ledger: Ledger | None = None, changes: dict[int, Change] | None = None
    ):
        self.config = config
        self.ledger = ledger or Ledger(config, calibration())
        trainers = {number: FakeTrainer(config, number) for number in self.ledger.organisms}
        for number, change in (changes or {}).items():
            trainers[number].change = change
        self.trainers = trainers
        self.under_way: dict[int, Decision] = {}
        self.orders: dict[tuple[int, int], Decision] = {}
        self.rounds: list[Closed] = []

    def send(self) -> list[int]:
        """Send all that may go on, as the driver does; give who is under way."""
        for organism in self.ledger.organisms:
            following = self.ledger.known(organism) + 1
            idle = organism not in self.under_way and following <= self.config.rounds
            if idle and self.ledger.may_decide(organism, following):
                order = self.ledger.decision(organism, following)
                self.under_way[organism] = self.orders[organism, following] = order
        return sorted(self.under_way)

    def arrive(self, organism: int) -> None:
        """Let the census of an organism arrive, and all that emitters can make, and close what is complete."""
        self.ledger.accept(self.trainers[organism].census(self.under_way.pop(organism)))
        self.emit()
        while self.ledger.complete():
            self.rounds.append(self.ledger.close())
            self.emit()

    def emit(self) -> None:
        """Let the children of the next rounds arrive, as far as these can be decided."""
        for round in range(self.ledger.closed + 1, self.config.rounds + 1):
            if not self.ledger.may_emit(round):
                return
            for order in self.ledger.emissions(round):
                if not self.ledger.knows(round, order.chunk):
                    genomes = {one.genome: self.genome(one.component, one.genome) for one in order.parents}
                    report, _, _ = emit(self.config, order, genomes, self.ledger.contest(round))
                    assert report is not None
                    self.ledger.accept_emitted(report.emitted)

    def genome(self, name: ComponentId, digest: str) -> bytes:
        """Give the bytes of a genome, of whichever round it is."""
        each = (genome_bytes(name, round) for round in range(self.config.rounds + 1))
        return next(data for data in each if sha256(data) == digest)

    def to_the_end(self, choose: Callable[[list[int]], int] = lambda waiting: waiting[0]) -> "Play":
        while waiting := self.send():
            self.arrive(choose(waiting))
        assert self.ledger.closed == self.ledger.last
        return self


def altered(**numbers: float) -> Change:
    """Change a field of every record by a factor, from a round on."""
    since = int(numbers.pop("since", 1))

    def change(census: Census) -> Census:
        if census.round < since:
            return census
        records = [
            dataclasses.replace(record, **{name: getattr(record, name) * by for name, by in numbers.items()})
            for record in census.records
        ]
        return dataclasses.replace(census, records=tuple(records))

    return change
