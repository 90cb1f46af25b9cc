"""All heads of a layer in one batched attention, against a plain loop over pseudopods.

Digits shapes (64 examples, 16 tokens, width 64), forward and backward to every factor, one thread. The loop
has tensors of each head's own size and masks made beforehand, so it computes no padding; hence both drawn
genes and the largest ones are timed. First loss and gradients are compared; then both are timed in turn, and
medians count.

    python tests/benchmarks/stacked_pool.py
"""

import statistics
import time
from itertools import product

from runs.machine.settings import prepare

prepare()

import numpy as np  # threads are set before torch loads
import torch
from torch import Tensor

from organisms.layers.norms import rms_norm
from organisms.nn import example_losses, new_interface, readout, stem
from organisms.options import Sizes
from organisms.pool import Occupant
from organisms.pseudopods.species import PseudopodOptions, Pseudopods
from organisms.pseudopods.species.organism import PseudopodOrganism
from organisms.task import Task
from qd.genes import random_genes
from qd.records import ComponentId, Genes
from runs import tasks
from runs.config.sections import TaskConfig

BATCH, WIDTH, SLOTS, PASSES, REPEATS = 64, 64, (8, 32), 31, 3


def built(task: Task, slots: int, largest: bool) -> PseudopodOrganism:
    family = Pseudopods(task, Sizes(dim=WIDTH, capacity=slots), PseudopodOptions())
    organism = family.organism(new_interface(task, WIDTH, torch.Generator().manual_seed(0)))
    for slot in range(slots):
        rng = np.random.default_rng(slot)
        identity = ComponentId(0, 0, slot)
        drawn = random_genes(family.genes, rng)
        genes = tuple((name, family.genes[name].high) for name, _ in drawn) if largest else drawn
        genome = family.random_genome(0, genes, rng)
        organism.pool.graft(slot, genome, Occupant(identity, (), identity, genome.genes))
    for stack in organism.pool.stacks.values():
        stack.requires_grad_()
    return organism


class Loop:
    """The same organism, a head at a time."""

    def __init__(self, organism: PseudopodOrganism) -> None:
        self.task, self.interface, self.heads = organism.task, organism.interface, []
        for slot, occupant in organism.pool.alive():
            arrays = organism.pool.genome(slot).arrays
            factors = {name: torch.tensor(array).requires_grad_() for name, array in arrays.items()}
            self.heads.append((factors, *self._settings(occupant.genes)))

    def _settings(self, genes: Genes) -> tuple[float, Tensor]:
        gene = dict(genes)
        mask = torch.from_numpy(~self.task.visible(gene["window"]))
        bias = torch.zeros(mask.shape).masked_fill_(mask, -torch.inf)
        return gene["temperature"] / gene["rank"] ** 0.5, bias

    def __call__(self, inputs: Tensor) -> Tensor:
        x = stem(self.task, self.interface, inputs)
        h, total = rms_norm(x), x
        for factors, scale, bias in self.heads:
            q, k = h @ factors["qk.U"] * scale, h @ factors["qk.V"].T
            weights = torch.softmax(q @ k.transpose(1, 2) + bias, dim=-1)
            total = total + weights @ (h @ factors["ov.U"]) @ factors["ov.V"]
        return readout(self.task, self.interface, total)

    def leaves(self) -> list[Tensor]:
        return [tensor for factors, _, _ in self.heads for tensor in factors.values()]


def gradients(network, leaves, task, inputs, targets):
    loss = example_losses(task, network(inputs), targets).mean()
    return loss, torch.autograd.grad(loss, leaves)


def assert_same(stacked, loop, names):
    torch.testing.assert_close(stacked[0], loop[0])
    for index, wanted in enumerate(loop[1]):
        slot, name = divmod(index, len(names))
        found = stacked[1][name][slot]
        padded = torch.zeros_like(found)
        padded[: wanted.shape[0], : wanted.shape[1]] = wanted
        torch.testing.assert_close(found, padded, rtol=1e-3, atol=1e-6)


def milliseconds(function):
    start = time.perf_counter()
    for _ in range(REPEATS):
        function()
    return (time.perf_counter() - start) / REPEATS * 1e3


def main():
    torch.set_num_threads(1)
    task = tasks.load(TaskConfig(name="digits"))
    inputs, targets = (torch.from_numpy(a[:BATCH]) for a in (task.train.inputs, task.train.targets))
    print(f"{BATCH} examples, {task.length} tokens, width {WIDTH}, {torch.get_num_threads()} thread")
    for slots, largest in product(SLOTS, (False, True)):
        organism = built(task, slots, largest)
        loop, names = Loop(organism), list(organism.pool.stacks)

        def stacked_pass(organism=organism):
            return gradients(organism, list(organism.pool.stacks.values()), task, inputs, targets)

        def loop_pass(loop=loop):
            return gradients(loop, loop.leaves(), task, inputs, targets)

        assert_same(stacked_pass(), loop_pass(), names)
        pairs = [(milliseconds(stacked_pass), milliseconds(loop_pass)) for _ in range(PASSES)]
        stacked, single = (statistics.median(times) for times in zip(*pairs, strict=True))
        print(
            f"{slots:>3} slots, {'largest' if largest else 'drawn':>7} genes   stacked {stacked:>6.2f} ms"
            f"   loop {single:>6.2f} ms   ratio {single / stacked:>5.2f}"
        )


if __name__ == "__main__":
    main()
