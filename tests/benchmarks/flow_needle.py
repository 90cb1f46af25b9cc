"""Whether a fact far back is answered: FlowNetwork with memory and without, and a transformer that sees everything.

A key and its value stand among 16 kinds of filler, and the key comes again at the end: which of 8 values? Models of two
layers and equal parameters (without memory: fewer) are trained from scratch for equal steps on sequences of 128 symbols
with the fact anywhere from 24 to 126 back; the windows of the two layers reach 14 back. First the model without memory
must compute the same whatever stands beyond its reach. Then accuracies on 1,000 sequences a distance; chance is 0.125.

    PYTHONPATH=. python tests/benchmarks/flow_needle.py [--steps 500] [--seeds 1]
"""

import argparse
import time
from collections.abc import Sequence

from runs.machine.settings import prepare

prepare()

import torch  # MKL reads its settings once
from torch import nn
from torch.nn import functional as F

from organisms.flow import FlowNetwork
from tests.benchmarks.flow import parameters, transformer_like
from tests.organisms.flow.needles import CHANCE, FILLERS, KEYS, VOCABULARY, answers, needles

WIDTH, LAYERS, HEADS, WINDOW, SLOTS, BLOCK = 32, 2, 4, 8, 32, 16
LENGTH, BATCH, RATE, WARM = 128, 16, 1e-2, 30
DISTANCES = (24, 64, 126)
ASKED = 1000  # sequences a distance


def models(seed: int) -> dict[str, nn.Module]:
    def flow(memory_size: int | None) -> FlowNetwork:
        return FlowNetwork(
            VOCABULARY,
            WIDTH,
            LAYERS,
            LENGTH,
            num_heads=HEADS,
            window=WINDOW,
            base_sparsity=0.25,
            memory_size=memory_size,
            block_size=BLOCK if memory_size else None,
            generator=torch.Generator().manual_seed(seed),
        )

    memory = flow(SLOTS)
    return {
        "flow": memory,
        "flow, no memory": flow(None),
        "transformer": transformer_like(memory, VOCABULARY, WIDTH, LAYERS, HEADS, seed),
    }


def check(model: nn.Module) -> None:
    ids, _ = needles(8, LENGTH, (DISTANCES[0], DISTANCES[-1]), torch.Generator().manual_seed(0))
    other = ids.clone()
    far = LENGTH - 1 - LAYERS * (WINDOW - 1)
    other[:, :far] = (ids[:, :far] + 1) % VOCABULARY
    with torch.no_grad():
        same = torch.equal(model(ids)[0][:, -1], model(other)[0][:, -1])
    assert same, "without memory the last symbol sees beyond its windows; nothing is reported"


def train(model: nn.Module, steps: int, seed: int) -> None:
    optimizer, stream = torch.optim.Adam(model.parameters(), RATE), torch.Generator().manual_seed(seed)
    for step in range(steps):
        ids, values = needles(BATCH, LENGTH, (DISTANCES[0], DISTANCES[-1]), stream)
        optimizer.param_groups[0]["lr"] = RATE * min(1, (step + 1) / WARM) * (1 - step / steps) ** 0.5
        loss = F.cross_entropy(model(ids)[0][:, -1], FILLERS + KEYS + values)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


@torch.no_grad()
def accuracy(model: nn.Module, distance: int) -> float:
    ids, values = needles(ASKED, LENGTH, (distance, distance), torch.Generator().manual_seed(99))
    right = [
        answers(model(part)[0]) == wanted
        for part, wanted in zip(ids.split(100), values.split(100), strict=True)
    ]
    return float(torch.cat(right).float().mean())


def main(words: Sequence[str] | None = None) -> None:
    """Check, train, print."""
    parser = argparse.ArgumentParser(description="whether a fact far back is answered")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=1)
    asked = parser.parse_args(words)
    sizes = ", ".join(f"{name} {parameters(model):,}" for name, model in models(0).items())
    check(models(0)["flow, no memory"])
    print(f"{asked.steps} steps of {BATCH} sequences of {LENGTH}; parameters: {sizes}; chance {CHANCE}")
    print(
        f"{'seed':>4} {'model':<16}" + "".join(f"{distance:>6} back" for distance in DISTANCES) + "   seconds"
    )
    for seed in range(asked.seeds):
        for name, model in models(seed).items():
            start = time.thread_time()
            train(model, asked.steps, seed)
            spent = time.thread_time() - start
            cells = "".join(f"{accuracy(model, distance):>11.3f}" for distance in DISTANCES)
            print(f"{seed:>4} {name:<16}{cells} {spent:>9.0f}", flush=True)


if __name__ == "__main__":
    main()
