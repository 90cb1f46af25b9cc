"""A small training loop whose heads evolve, in a second."""

import torch
from torch import nn

from organisms.pseudopods import EvolutionConfig, PoolConfig, SlimeMoldEncoder

D = 8
QUICK = {
    "steps": 60,
    "births_every": 4,
    "culls_every": 8,
    "rise": 4,
    "warmup": 0.15,
    "gentle": 0.2,
    "quiet": 0.1,
    "min_age": 1,
    "maturity": 1,
    "cells": 16,
    "decay": 0.5,
    "examples": 2,
}


def encoder(**options):
    pool = PoolConfig(slots=4, rank=(2, 3, 1), width=(2, 1, 3), max_rank=4, max_width=4)
    return SlimeMoldEncoder(
        D, 3, 8, **{"dropout": 0.0, "batch_first": True, "num_layers": 2, "pool": pool} | options
    )


class Loop:
    """A model, its optimizer, and its batches by number."""

    def __init__(self, optimizer=torch.optim.AdamW, options=None, **changes):
        self.encoder = encoder(**(options or {}))
        self.readout = nn.Linear(D, 2)
        with torch.no_grad():
            self.readout.weight.copy_(batch(-1)[0, :2])
            self.readout.bias.zero_()
        groups = [{"params": self.encoder.parameters()}, {"params": self.readout.parameters(), "lr": 0.01}]
        self.optimizer = optimizer(groups, lr=0.01)
        self.encoder.evolves(self.optimizer, EvolutionConfig(**QUICK | changes))
        self.done = 0

    def train(self, steps, spoilt=()):
        for _ in range(steps):
            self.backward().backward()
            self.optimizer.step()
            self.encoder.evolve(torch.tensor(torch.nan) if self.done in spoilt else self.loss)
            self.optimizer.zero_grad()
            self.done += 1
        return self

    def backward(self):
        x = batch(self.done)
        self.loss = (self.readout(self.encoder(x, is_causal=True)) - x.cumsum(1)[..., :2]).square().mean()
        return self.loss

    def decisions(self):
        return self.encoder.history("decisions").to_dict("records")

    def happened(self):
        frame = self.encoder.history("decisions")
        happened = frame[frame["happens"].astype(bool)]
        return list(zip(happened["round"], happened["kind"], happened["component"], strict=True))

    def state(self):
        return {
            "encoder": self.encoder.state_dict(),
            "readout": self.readout.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "evolution": self.encoder.evolution.state_dict(),
            "done": self.done,
        }

    def load(self, state):
        self.encoder.load_state_dict(state["encoder"])
        self.readout.load_state_dict(state["readout"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.encoder.evolution.load_state_dict(state["evolution"])
        self.done = state["done"]
        return self


def batch(number):
    return torch.randn(4, 6, D, generator=torch.Generator().manual_seed(number + 1))
