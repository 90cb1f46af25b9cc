"""When heads are born and die in a user's own loop, and within what limits."""

from typing import Literal

from pydantic import model_validator

from organisms.layers.config import Count, NotNegative, Positive, Section, Share


class EvolutionConfig(Section):
    """Three time scales, and the constants of the harness' lifecycle. A round is `births_every` optimizer steps."""

    seed: int = 0
    """What every draw is hashed from."""
    steps: Count = 100_000
    """Optimizer steps that the training is planned for: of them are `warmup`, `gentle` and `quiet` shares."""
    fitness_every: Count = 1
    """Steps between two looks at what each head is worth."""
    births_every: Count = 100
    """Steps of a round, at whose end heads are measured, compete for the archive, and are born."""
    culls_every: Count = 1000
    """Steps between two culls; with them goes the check of the behaviour space."""
    decay: Share = 0.99
    """Of the moving averages of worth and loss."""
    examples: Count = 4
    """Sequences of a round's last batch on which heads are measured."""
    cells: Count = 64
    """Of the archive."""
    rise: Count = 100
    """Steps in which what a newborn writes rises from nothing to what its genome says."""
    births: Literal["archive", "random", "none"] = "archive"
    """What newborns are made of."""
    births_per_round: Count = 1
    """Births that are considered in a round, over all layers."""
    maturity: Count = 2
    """Rounds that a head lives before it competes for a cell."""
    warmup: Share = 0.1
    """Share of the steps at the beginning without births and deaths."""
    gentle: Share = 0.25
    """Share of the steps at the beginning, warmup included, without deaths."""
    quiet: Share = 0.2
    """Share of the steps at the end without deaths."""
    min_alive: Count = 1
    """Heads that deaths leave in a layer, at least."""
    min_age: Count = 3
    """Rounds that a head lives before it can die."""
    floor: float = 0.0
    """Relative fitness (a z-score) at or above which a head does not die for its fitness."""
    neighbours: Count = 5
    """Nearest heads in behaviour space with whose fitness a head's is compared."""
    loss_ratio: Positive = 10.0
    """Ratio of loss to its moving average beyond which nothing is born and nothing dies."""
    budget_bytes: Count | None = None
    """Counted memory traffic of all heads per sequence, forward, at most; null: no limit."""
    temperature: Positive = 0.5
    """Of the annealing at the first step; it falls in a straight line, to a fiftieth at the last."""
    sigma: Positive = 0.1
    """Noise of a newborn at the first temperature, relative to the size of each array."""
    gene_rate: Share = 0.1
    """Probability that a newborn's rank, or its width, is drawn anew."""
    line_share: Share = 0.3
    """Share of births from two elites; the rest are of one."""
    line_sigma: NotNegative = 0.3
    """Standard deviation of the step from one to the other, relative to their distance."""
    chemotaxis: Literal["rule", "sources", "uniform"] = "rule"
    """rule: good elites attract and, where the loss stands still, strange ones; sources: good ones that births have not
    exhausted, less the way there; uniform: all alike."""
    patience: Count = 8
    """Of chemotaxis sources: births of an elite until it attracts half as much."""
    tau: Positive = 0.2
    """Temperature of the choice of parents; small is greedy."""
    window: Count = 5
    """Rounds over which the improvement of the loss is taken; the less, the more empty regions attract."""

    @model_validator(mode="after")
    def _time_scales_fit(self) -> "EvolutionConfig":
        for long, short in (("births_every", "fitness_every"), ("culls_every", "births_every")):
            if getattr(self, long) % getattr(self, short):
                raise ValueError(
                    f"{long} must be a multiple of {short}, {getattr(self, short)}, but is {getattr(self, long)}"
                )
        if self.cells < 2:
            raise ValueError(f"cells must be at least 2, for cells to have neighbours, but is {self.cells}")
        if self.rise > self.births_every * self.maturity:
            raise ValueError(
                f"rise must be at most births_every times maturity, {self.births_every * self.maturity}, so that no "
                f"head competes before it writes in full, but is {self.rise}"
            )
        return self
