"""What transformers of shards compute, by definition: float64, one example, one shard, one token at a time."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tests.fixtures import naive_interface as ends
from tests.fixtures.naive_interface import norm


def weights(task, shard, h) -> Tensor:
    """Attention weights [S, S] of one head on one normed stream [S, D]."""
    queries, keys = h @ shard.arrays["qk.U"], h @ shard.arrays["qk.V"].T
    rows = []
    for i in range(task.length):
        seen = range(i + 1) if task.causal else range(task.length)
        scores = torch.stack([queries[i] @ keys[j] for j in seen]) / math.sqrt(shard.genes["width"])
        row = torch.zeros(task.length, dtype=h.dtype)
        rows.append(row.index_add(0, torch.tensor(seen), torch.softmax(scores, 0)))
    return torch.stack(rows)


def hidden(shard, h) -> Tensor:
    """The hidden units of a shard, [S, H]: gelu(x) = x P(N <= x) for a normal number N."""
    before = h @ shard.arrays["in"]
    return before * (1 + torch.erf(before / math.sqrt(2))) / 2


def written(task, shard, h) -> Tensor:
    """What one shard adds to one stream [S, D]."""
    head = weights(task, shard, h) @ (h @ shard.arrays["ov.U"]) @ shard.arrays["ov.V"]
    return head + hidden(shard, h) @ shard.arrays["out"]


def streams(organism, shards, example, gates=None) -> list[Tensor]:
    """The residual stream [S, D] of one example before every layer and after the last."""
    found = [ends.stem(organism.task, organism.interface, example)]
    for layer in range(organism.pool.depth):
        x, h = found[-1], norm(found[-1])
        for slot, shard in shards.items():
            if shard.layer == layer:
                x = x + (1.0 if gates is None else gates[slot]) * written(organism.task, shard, h)
        found.append(x)
    return found


@dataclass
class Passed:
    """One example on its way through an organism."""

    entering: list[Tensor]  # the stream that the shards of each layer read and add to, [S, D]
    after: list[Tensor]  # the stream after each layer, [S, D]


def passing(organism, shards, example) -> Passed:
    """Send one example through."""
    found = streams(organism, shards, example)
    return Passed(found[:-1], found[1:])


def wrote(organism, shards, slot, example) -> Tensor:
    """What one shard of an organism adds to the stream [S, D] of one example."""
    h = norm(streams(organism, shards, example)[shards[slot].layer])
    return written(organism.task, shards[slot], h)


def outputs(organism, shards, inputs, gates=None) -> Tensor:
    """Outputs of a batch: [B, outputs], or [B, S, outputs] for a token or sequence task."""
    last = [streams(organism, shards, example, gates)[-1] for example in inputs]
    return torch.stack([ends.readout(organism.task, organism.interface, x) for x in last])


def training_losses(organism, shards, inputs, targets, gates=None) -> Tensor:
    """Loss of each example [B]: that of the task."""
    return ends.losses(organism.task, outputs(organism, shards, inputs, gates), targets)
