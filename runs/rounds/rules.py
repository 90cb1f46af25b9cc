"""What the decisions of a run depend on, from its configuration."""

from qd.chemotaxis.search import Scent, Search
from qd.lifecycle import annealing
from qd.lifecycle.early_stopping import EarlyStopping
from qd.lifecycle.rules import Rules
from qd.lifecycle.timetable import Turn, timetable
from runs.config.schema import Config


def rules(config: Config, largest_flops: float) -> Rules:
    """Return what the lifecycle depends on, from a configuration.

    Parameters
    ----------
    config
        Of the run.
    largest_flops
        Of the costliest component that the genes allow, per example, forward.
    """
    life, chemotaxis = config.lifecycle, config.chemotaxis
    steps = config.training.steps_per_round
    return Rules(
        seed=config.seed,
        rounds=config.rounds,
        steps_per_round=steps,
        enabled=life.enabled,
        arm=config.births,
        depth=config.organism.depth,
        capacity=config.organism.capacity,
        initial=config.organism.initial,
        temperature=annealing.make(
            config.annealing.kind, config.annealing.start, config.annealing.floor, steps * config.rounds
        ),
        start_temperature=config.annealing.start,
        warmup=life.warmup,
        gentle=life.gentle,
        quiet=life.quiet,
        births_per_round=life.births_per_round,
        candidates=life.candidates,
        exploration=life.exploration,
        room=life.room,
        slow_every=life.slow_every,
        min_alive=life.min_alive,
        min_age=life.min_age,
        floor=life.floor,
        neighbours=life.neighbours,
        loss_ratio=life.loss_ratio,
        budget_bytes=life.budget_bytes,
        memory_budget=life.memory_budget,
        sigma=config.variation.sigma,
        line_share=config.variation.line_share,
        tau=chemotaxis.tau,
        window=chemotaxis.window,
        search=Search(
            kind=chemotaxis.kind,
            patience=chemotaxis.patience,
            scents=tuple(Scent(each.behavior, each.concentration) for each in chemotaxis.sources),
            largest_flops=largest_flops,
        ),
        efficiency=life.efficiency,
        timetable=None
        if life.timetable is None
        else timetable(Turn(**dict(each)) for each in life.timetable),
    )


def early_stopping(config: Config) -> EarlyStopping | None:
    """Return the rule by which a run ends before its last round, from a configuration; None: it does not."""
    rule = config.early_stopping
    if rule.patience is None:
        return None
    return EarlyStopping(rule.metric, rule.patience, rule.min_delta, rule.start_from)
