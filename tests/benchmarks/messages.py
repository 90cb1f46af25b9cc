"""Whether towers gain by hearing their neighbours: networks that are trained with and without messages, paired by seed.

A network of a preset is trained with its stem and readout for the steps of a calibration, on the same batches; genes
are the same, weights are drawn anew. First towers that do not listen must compute what towers without messages do.

    PYTHONPATH=. python tests/benchmarks/messages.py [PRESET [SEEDS]]
"""

import statistics
import sys

from runs.machine import settings

settings.prepare()

import torch

from organisms.memory import Trace
from qd.seeding import torch_seed
from runs import tasks
from runs.config.reader import load
from runs.config.schema import plain
from runs.training.births.newborns import founder
from runs.training.build import build
from runs.training.census import evaluate
from runs.training.optimise import batches, learning_rate, train
from runs.training.state import Individual
from runs.training.world import World, WorldSpec

INTERFACE = -1  # as in calibration


def world(preset: str, seed: int, messages: int) -> World:
    config = load(preset, [f"seed={seed}", f"organism.towers.messages={messages}"])
    return build(WorldSpec(plain(config), tasks.corpus(config.task)))


def untrained(at: World) -> Individual:
    source = torch.Generator().manual_seed(torch_seed(at.config.seed, 0, "interface"))
    return founder(at, INTERFACE, dict(at.species.interface(source)))


def check(preset: str) -> None:
    deaf, alone = (world(preset, 0, messages) for messages in (2, 0))
    one, other = (Individual(0, untrained(each).organism, 0, 0, Trace(0.9), None) for each in (deaf, alone))
    pools = one.organism.pool, other.organism.pool
    for name, stack in pools[1].stacks.items():
        pools[0].stacks[name].copy_(stack)
    pools[0].occupants = list(pools[1].occupants)
    pools[0].stacks["listen"].zero_()
    found, wanted = (each.organism(deaf.validation.inputs[:64]) for each in (one, other))
    assert torch.allclose(found, wanted, atol=1e-5), "towers that do not listen hear; nothing is reported"


def trained(preset: str, seed: int, messages: int) -> tuple[float, float]:
    """Validation loss and score."""
    at = world(preset, seed, messages)
    individual, steps = untrained(at), at.config.calibration.steps
    train(at, individual, batches(at, INTERFACE, 0, steps), learning_rate(at, steps), interface=True)
    return evaluate(at, individual.organism, at.validation)


def main() -> None:
    preset = sys.argv[1] if len(sys.argv) > 1 else "digits-towers"
    seeds = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    check(preset)
    print(f"{preset}: validation loss (score) after the steps of a calibration")
    gains = []
    for seed in range(seeds):
        found = {messages: trained(preset, seed, messages) for messages in (0, 2)}
        row = "  ".join(
            f"{messages} messages {loss:.4f} ({score:.4f})" for messages, (loss, score) in found.items()
        )
        print(f"  seed {seed}  {row}", flush=True)
        gains.append(found[0][0] - found[2][0])
    spread = statistics.stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else float("nan")
    print(f"  loss less with messages: {statistics.mean(gains):+.4f}, standard error {spread:.4f}")


if __name__ == "__main__":
    main()
