"""What the harness' lifecycle asks to know, from a configuration and the sizes of an encoder."""

from dataclasses import dataclass
from math import ceil

from organisms.pseudopods.evolution.config import EvolutionConfig
from qd.chemotaxis.search import Search
from qd.genes import GeneRange, GeneSpace
from qd.lifecycle import annealing
from qd.lifecycle.rules import Rules
from qd.records import Genes

COOLEST = 0.02  # the lowest temperature, as a share of the first


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of an encoder: layers, slots of each, width, room of a slot, and whether its heads have biases."""

    layers: int
    slots: int
    width: int
    max_rank: int
    max_width: int
    bias: bool

    @property
    def genes(self) -> GeneSpace:
        """The structural genes of a head, with their ranges."""
        return {
            "rank": GeneRange(1, self.max_rank, integer=True),
            "width": GeneRange(1, self.max_width, integer=True),
        }


def rules(config: EvolutionConfig, sizes: Sizes) -> Rules:
    """Return the constants of the lifecycle.

    Differs from the harness: a birth has one candidate and no trial, and no head dies to make room for one, because
    both would need a forward pass more.
    """
    floor = COOLEST * config.temperature
    return Rules(
        seed=config.seed,
        rounds=ceil(config.steps / config.births_every),
        steps_per_round=config.births_every,
        enabled=True,
        arm=config.births,
        depth=sizes.layers,
        capacity=sizes.slots,
        initial=0,
        temperature=annealing.make("linear", config.temperature, floor, config.steps),
        start_temperature=config.temperature,
        warmup=config.warmup,
        gentle=config.gentle,
        quiet=config.quiet,
        births_per_round=config.births_per_round,
        candidates=1,
        exploration=0.0,
        room=False,
        slow_every=config.culls_every // config.births_every,
        min_alive=config.min_alive,
        min_age=config.min_age,
        floor=config.floor,
        neighbours=config.neighbours,
        loss_ratio=config.loss_ratio,
        budget_bytes=config.budget_bytes,
        sigma=config.sigma,
        line_share=config.line_share,
        tau=config.tau,
        window=config.window,
        search=Search(kind=config.chemotaxis, patience=config.patience),
    )


def cost(genes: Genes, tokens: int, width: int) -> tuple[float, float]:
    """Return FLOPs (a multiply-add is two) and bytes (float32, each operand once) of a head on one sequence.

    Parameters
    ----------
    genes
        Its rank and width.
    tokens
        Of the sequence, each of which sees all: what a mask hides is counted too.
    width
        D.
    """
    inner = sum(dict(genes).values())
    flops = 2 * tokens * width * 2 * inner + tokens**2 * (2 * inner + 5)
    return flops, 4.0 * (2 * width * inner + 2 * tokens * width + 4 * tokens * inner)
