"""Named randomness: what is drawn for one purpose does not depend on what else is drawn."""

import hashlib

import torch


def named_generator(seed: int | None, name: str) -> torch.Generator:
    """Return a generator on the CPU for one purpose, from sha256("seed:name"); without a seed that of seed 0."""
    digest = hashlib.sha256(f"{seed or 0}:{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
