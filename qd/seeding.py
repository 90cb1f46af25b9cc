"""Named randomness: every draw is a hash of the seed, a step and a sentence that says what it is for.

No generator is shared, so a draw never depends on how many others came before it, on which worker
makes it, or on the order in which results arrive.
"""

import hashlib

import numpy as np

_LARGEST = 2**64 - 1


def _digest(seed: int, step: int, context: str) -> bytes:
    return hashlib.sha256(f"{seed}:{step}:{context}".encode()).digest()


def uniform(seed: int, step: int, context: str) -> float:
    """Draw the number in [0, 1] that belongs to ``(seed, step, context)``.

    ``u = int(sha256("seed:step:context")[:8], big-endian) / (2**64 - 1)``

    Parameters
    ----------
    seed
        Seed of the run.
    step
        Logical time of the draw: optimizer steps or rounds, as the caller's context says.
    context
        What the draw decides, for example ``"cull:3.12.5"``. Equal contexts give equal draws.

    Source: Slime Mold Transformer blueprint, decision 11.
    """
    return int.from_bytes(_digest(seed, step, context)[:8], "big") / _LARGEST


def happens(probability: float, draw: float) -> bool:
    """Whether an event of this probability happens on this draw: ``p >= 1 or draw < p``.

    The first clause matters because a draw can be exactly 1.
    """
    return probability >= 1 or draw < probability


def generator(seed: int, step: int, context: str) -> np.random.Generator:
    """Return a NumPy generator (PCG64) seeded with all 256 bits of the same hash as `uniform`.

    Parameters
    ----------
    seed, step, context
        As `uniform` takes them.
    """
    return np.random.Generator(np.random.PCG64(int.from_bytes(_digest(seed, step, context), "big")))


def torch_seed(seed: int, step: int, context: str) -> int:
    """Return a seed in [0, 2**63) for ``torch.Generator.manual_seed`` from the same hash as `uniform`.

    Parameters
    ----------
    seed, step, context
        As `uniform` takes them.
    """
    return int.from_bytes(_digest(seed, step, context)[:8], "big") >> 1
