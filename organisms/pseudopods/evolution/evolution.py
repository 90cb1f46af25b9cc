"""The lifecycle of the harness in a user's own training loop."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from organisms.pseudopods.evolution import genomes
from organisms.pseudopods.evolution.agreement import averaged_over_processes
from organisms.pseudopods.evolution.config import EvolutionConfig
from organisms.pseudopods.evolution.constants import Sizes, rules
from organisms.pseudopods.evolution.history import History
from organisms.pseudopods.evolution.measured import measured, tokens
from organisms.pseudopods.evolution.observed import MEASURES
from organisms.pseudopods.evolution.population import Population
from organisms.pseudopods.evolution.worth import averaged, drops, weights, worth
from organisms.pseudopods.evolution.yardstick import yardstick
from organisms.pseudopods.heads import PseudopodAttention
from qd.archive import Archive
from qd.centroids import halton_cvt, neighbours
from qd.chemotaxis.tries import held, tried
from qd.fitness import Yardstick, candidates
from qd.lifecycle.decide import decide
from qd.lifecycle.rules import phase
from qd.records import Census, Decision, Genome
from qd.seeding import generator

ROWS = 4  # moving averages of a head (`worth.averaged`)


class Evolution:
    """Heads of one model that are born and die; `Evolving.evolves` makes one, and `evolve` steps it.

    Every step each head's first-order drop of the loss enters a moving average. At the end of a round the heads are
    measured and, once the ranges of the measures are known, compete for the cells of an archive; then
    `qd.lifecycle.decide` says who is born and, at a cull, who dies. Ranges, and the yardstick of objectives, are fixed
    at the end of the warm-up, by what was measured in it, and kept.

    A `Record` holds here what can be known without reference hosts and a further pass:

    - `assay` and `ablation`: the moving average of the first-order drop of the training loss, in its own encoder and
      not in hosts, nats of the loss as the user has it; `assay_lower` its lower 95 % bound, steps being the sample
    - `gradient`: root mean square of the drop, which is the gradient by a gate of the head
    - `measures`: on some sequences of the round's last batch; `flops` and `bytes` counted for its number of tokens
    - `genome`: component and round, which name it within the process, instead of a hash

    Of a `Census`, `validation_loss` is the mean training loss of the round. A round in which a loss was not finite has
    a loss of infinity, at which the loss gate lets nothing be born or die.

    Parameters
    ----------
    heads
        Of each layer.
    optimizer
        That trains them.
    config
        Time scales and limits.
    """

    def __init__(
        self, heads: Sequence[PseudopodAttention], optimizer: torch.optim.Optimizer, config: EvolutionConfig
    ) -> None:
        _check_trained(heads, optimizer)
        C, R, D = heads[0].query.shape
        W, bias = heads[0].output.shape[1], heads[0].query_bias is not None
        self.config, self.sizes = config, Sizes(len(heads), C, D, R, W, bias)
        self.rules = rules(config, self.sizes)
        self.population = Population(tuple(heads), optimizer, config.rise)
        self.population.found()
        self.history = History()
        self.steps = 0
        self.device = heads[0].output.device
        # Moving averages of each head, and of the loss; of the round's finite losses their sum, and how many.
        self.moments = torch.zeros(ROWS, len(heads) * C + 1, device=self.device)
        self.losses = torch.zeros(2, device=self.device)
        self.weights = weights(config.decay, self.device)
        self.first_loss, self.loss_ema = math.nan, math.nan
        self.censuses: list[Census] = []  # the latest, which decisions read
        self.samples: list[
            tuple[float, ...]
        ] = []  # of the measures, until there are ranges; then of the next check
        self.yardstick: Yardstick | None = None
        self.centroids = halton_cvt(config.cells, len(MEASURES), config.seed)
        self.neighbours = neighbours(self.centroids)
        self.archive = Archive(self.centroids)
        self.genomes: dict[str, Genome] = {}  # of the elites
        self.tries: dict[str, int] = {}  # by elite: births that were made of it
        self.watch()

    def __reduce__(self) -> Any:
        """Return what a copy of the model has instead: None, since no optimizer trains the copy yet."""
        return type(None), ()

    @property
    def heads(self) -> Sequence[PseudopodAttention]:
        """Those of each layer."""
        return self.population.heads

    def step(self, loss: Tensor | float) -> None:
        """Go one optimizer step on: look at the heads' worth, and, where it is time, close the round.

        Parameters
        ----------
        loss
            Of the step, one number.

        Raises
        ------
        ValueError
            If it is no number, if there are no gradients, or if a round ends and the model has not been called.
        """
        self._follow(self.heads[0].output.device)
        value = averaged_over_processes(_number(loss, self.device))
        worths = drops(self.heads)
        closes = (self.steps + 1) % self.config.births_every == 0
        if closes:
            _check_seen(self.heads)
        self.steps += 1
        finite = value.isfinite()
        values = torch.cat([worths, value])
        counts = values.isfinite() & finite
        if self.steps % self.config.fitness_every:
            counts[:-1] = False
        self.moments = averaged(self.moments, values, counts, self.weights)
        self.losses += torch.where(finite, torch.cat([value, torch.ones_like(value)]), 0.0)
        self.population.raise_newborns()
        if closes:
            self._close(self.steps // self.config.births_every)
        self.watch()

    def summary(self) -> dict[str, Any]:
        """Return what the archive holds."""
        view = self.archive.view()
        arrays = [array for genome in self.genomes.values() for array in genome.arrays.values()]
        return {
            "cells": view.size,
            "filled": len(view.cells),
            "coverage": view.coverage,
            "qd_score": view.qd_score,
            "best_objective": None if view.best is None else view.best.objective,
            "mean_objective": view.mean_objective,
            "measures": MEASURES,
            "calibrated": self.yardstick is not None,
            "bytes": sum(array.nbytes for array in arrays),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return all that a resumed training needs besides the state of model and optimizer; `torch.load` is safe."""
        from organisms.pseudopods.evolution.stored import state_of

        return state_of(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state, once model and optimizer have theirs.

        Raises
        ------
        ValueError
            If it is none, or that of another encoder or configuration.
        """
        from organisms.pseudopods.evolution.stored import restore

        restore(self, state)

    def watch(self) -> None:
        """Let the heads keep what they read in the next forward pass, if a round ends with it."""
        ends = (self.steps + 1) % self.config.births_every == 0
        for heads in self.heads:
            heads.watched = ends
            if not ends:
                heads.seen = None

    def _follow(self, device: torch.device) -> None:
        """Move to where the model is."""
        if device != self.device:
            self.device = device
            for name in ("moments", "losses"):
                setattr(self, name, getattr(self, name).to(device))
            self.weights = weights(self.config.decay, device)

    def _close(self, round: int) -> None:
        census = self._census(round)
        self.censuses = [*self.censuses, census][-self.config.window - 1 :]
        sound = math.isfinite(census.loss)
        if sound:
            self.samples += [record.measures for record in census.records]
            if self.yardstick is None and phase(self.rules, round + 1) != "warm-up":
                self.yardstick = yardstick(census.records, self.samples, tokens(self.heads), self.sizes)
        if sound and self.yardstick is not None:
            self._compete(census, self.yardstick)
        self.history.census(round, self.steps, census, self.archive.view(), self.rules)
        if round % self.rules.slow_every == 0 and self.yardstick is not None:
            self.history.check(round, self.samples, self.yardstick.ranges, self.config.seed)
            self.samples = []
        if self.yardstick is not None:
            self._change(round + 1, self.yardstick)
        self.loss_ema = worth(self.moments[:, -1].tolist()).mean
        self.losses = torch.zeros_like(self.losses)

    def _census(self, round: int) -> Census:
        total, finite = self.losses.tolist()
        loss = total / finite if finite else math.inf
        if math.isnan(self.first_loss) and finite:
            self.first_loss = self.loss_ema = loss
        records = measured(self.population, self.moments.T.tolist(), round, self.sizes, self.config.examples)
        sound = all(
            math.isfinite(value)
            for record in records
            for value in (*record.measures, record.assay, record.assay_lower, record.gradient)
        )
        return Census(
            organism=0,
            round=round,
            step=self.steps,
            loss=loss if sound and finite == self.config.births_every else math.inf,
            loss_ema=self.loss_ema,
            first_loss=self.first_loss,
            probe_loss=math.nan,
            validation_loss=loss,
            validation_score=math.nan,
            test_loss=None,
            test_score=None,
            state="",
            records=records,
            quarantine=None,
        )

    def _compete(self, census: Census, yardstick: Yardstick) -> None:
        entering = candidates(census, yardstick, self.config.maturity)
        for outcome in self.archive.commit(entering):
            if outcome.status != "reject":
                self.genomes[outcome.candidate.genome] = self.population.genome(
                    outcome.candidate.component.slot
                )
        kept = {elite.genome for elite in self.archive.view().elites}
        self.genomes = {name: genome for name, genome in self.genomes.items() if name in kept}

    def _change(self, round: int, yardstick: Yardstick) -> None:
        """Decide what the next round begins with, and do it."""
        view = self.archive.view(self.tries)
        search = replace(self.rules.search, largest_flops=yardstick.largest_flops)
        rules = replace(self.rules, search=search)
        decision: Decision = decide(rules, round, self.censuses, view, self.neighbours, yardstick.ranges)
        self.tries = tried(held(view), [decision])
        for death in decision.deaths:
            if death.happens:
                self._unknown(death.component.slot)
                self.population.bury(death.component.slot)
        for birth in decision.births:
            if birth.happens:
                stream = generator(self.config.seed, round, f"newborn:0:{birth.slot}:0")
                genome = genomes.newborn(
                    birth,
                    self.genomes.__getitem__,
                    self.sizes,
                    self.config.line_sigma,
                    self.config.gene_rate,
                    stream,
                )
                self._unknown(birth.slot)
                self.population.bear(birth, genome, round)
        self.history.decision(decision)

    def _unknown(self, slot: int) -> None:
        self.moments[:, slot] = 0


def _number(loss: Tensor | float, device: torch.device) -> Tensor:
    value = loss.detach() if isinstance(loss, Tensor) else torch.tensor(float(loss))
    if value.numel() != 1 or value.is_complex():
        raise ValueError(f"loss must be one number, but has the shape {list(value.shape)}; take its mean")
    return value.reshape(1).to(device, torch.float32)


def _check_seen(heads: Sequence[PseudopodAttention]) -> None:
    if any(each.seen is None for each in heads):
        raise ValueError(
            "evolve ends a round and measures what heads read in the last forward pass, but the model was not called "
            "since the step before; call evolve once after each step of training"
        )


def _check_trained(heads: Sequence[PseudopodAttention], optimizer: torch.optim.Optimizer) -> None:
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise ValueError(f"optimizer must be a torch.optim.Optimizer, but is a {type(optimizer).__name__}")
    trained = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    for depth, each in enumerate(heads):
        for name, parameter in genomes.slotted(each):
            if id(parameter) not in trained or not parameter.requires_grad:
                raise ValueError(
                    f"optimizer must train all heads of the model, but layers.{depth}.pseudopods.{name} is "
                    f"{'not among its parameters' if id(parameter) not in trained else 'frozen'}"
                )
