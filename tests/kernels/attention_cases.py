"""Random queries, keys and values, what they may see, and one path held against another."""

import torch

from kernels.attention import attention

NAMES = ("span", "locality", "entropy", "sum_squares", "largest")


def drawn(B=2, H=2, S=5, R=3, W=4, dtype=torch.float64, seed=0):
    stream = torch.Generator().manual_seed(seed)
    shapes = ((B, H, S, R), (B, H, S, R), (B, H, S, W))
    return [torch.randn(shape, generator=stream, dtype=torch.float64).to(dtype) for shape in shapes]


def seeing(case, B, H, S, dtype=torch.float64):
    """What the queries may see, by the name of the case."""
    stream = torch.Generator().manual_seed(5)
    some = torch.rand(B, S, generator=stream) < 0.6
    windows = torch.tensor([1.0, 3.5, S + 10.0, S / 3 + 0.5], dtype=dtype)[torch.arange(H) % 4]
    plane = torch.stack([torch.arange(S) // 8, torch.arange(S) % 8], 1).to(dtype)
    return {
        "all": {},
        "causal": {"causal": True},
        "window": {"window": windows},
        "causal window": {"causal": True, "window": windows},
        "keys": {"key_mask": some},
        "everything": {"causal": True, "window": windows, "key_mask": some, "positions": plane},
        "plane": {"window": windows, "positions": plane},
        "space": {"positions": torch.randn(S, 3, generator=stream, dtype=torch.float64).to(dtype)},
        "line": {"positions": torch.randn(S, 1, generator=stream, dtype=torch.float64).to(dtype)},
        "nothing": {"key_mask": torch.zeros(B, S, dtype=torch.bool)},
    }[case]


CASES = [
    "all",
    "causal",
    "window",
    "causal window",
    "keys",
    "everything",
    "plane",
    "space",
    "line",
    "nothing",
]


def with_gradients(tensors, change, statistics=True, lse=True, **options):
    leaves = [tensor.detach().clone().requires_grad_() for tensor in tensors]
    found = attention(*leaves, statistics=statistics, lse=lse, **options)
    return found, torch.autograd.grad(found.output, leaves, change)


def assert_same(tensors, tolerance, **options):
    """The torch path against the reference, with statistics and without (which may go another way)."""
    stream = torch.Generator().manual_seed(9)
    change = torch.randn(tensors[2].shape, generator=stream, dtype=torch.float64).to(tensors[2].dtype)
    wanted, gradients = with_gradients(tensors, change, backend="reference", **options)
    for statistics in (True, False):
        found, others = with_gradients(tensors, change, statistics, backend="torch", **options)
        torch.testing.assert_close(found.output, wanted.output, **tolerance)
        torch.testing.assert_close(found.lse, wanted.lse, **tolerance)
        for gradient, other in zip(gradients, others, strict=True):
            torch.testing.assert_close(other, gradient, **tolerance)
        for name in NAMES if statistics else ():
            pair = getattr(found.statistics, name), getattr(wanted.statistics, name)
            torch.testing.assert_close(*pair, **tolerance, msg=lambda text, name=name: f"{name}: {text}")
