"""What attention and its statistics cost on one CPU thread, against torch's own and against the whole matrix.

    PYTHONPATH=. python tests/benchmarks/attention.py

Every answer is checked first. A time is a median over passes that take turns, in CPU time of the thread, so that
other processes count little; a peak is how far the resident memory of a process of its own rises above what it
was before the call (Linux only).
"""

import statistics
import subprocess
import sys
import time
from functools import partial

import torch
from torch.nn import functional as F

from kernels.attention import attention

B, H, D = 8, 8, 64
LENGTHS = {
    256: 9,
    1024: 3,
    4096: 0,
}  # passes after the first, which warms up and counts only where it is alone
NAMES = ("span", "locality", "entropy", "sum_squares", "largest")


def drawn(*shape):
    return [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]


def materialised(q, k, v):
    """Output and statistics from the whole matrix, as one would write them; examples at a time, to fit."""
    parts = [whole(*(tensor[b : b + 1] for tensor in (q, k, v))) for b in range(len(q))]
    return torch.cat([output for output, _ in parts]), torch.stack([row for _, row in parts]).mean(0)


def whole(q, k, v):
    weights = torch.softmax(q @ k.mT * D**-0.5, -1)
    x = torch.arange(q.shape[2], dtype=q.dtype)
    distances = (x[:, None] - x).abs()
    middle = weights @ x
    numbers = [
        (weights * distances).sum(-1),
        (weights * (x - middle[..., None]).square()).sum(-1).sqrt(),
        -torch.xlogy(weights, weights).sum(-1),
        weights.square().sum(-1),
        weights.amax(-1),
    ]
    return weights @ v, torch.stack([number.mean((0, 2)) for number in numbers])


def numbers(found):
    return torch.stack([getattr(found.statistics, name) for name in NAMES])


def error(found, exact):
    return float(((found - exact).norm() / exact.norm()).detach())


def milliseconds(functions, passes):
    """Medians of the functions, which take turns."""
    taken = [[] for _ in functions]
    for _ in range(passes + 1):
        for function, times in zip(functions, taken, strict=True):
            start = time.thread_time()
            function()
            times.append(1e3 * (time.thread_time() - start))
    return [statistics.median(times[1:] or times) for times in taken]


PEAK = """
import sys, torch
from pathlib import Path
from kernels.attention import attention
from tests.benchmarks import attention as bench

def resident(line):
    (found,) = [row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith(line)]
    return 1024 * int(found.split()[1])

torch.set_num_threads(1)
S, kind = int(sys.argv[1]), sys.argv[2]
with torch.no_grad():
    run = bench.materialised if kind == "matrix" else lambda *x: attention(*x, statistics=True)
    run(*bench.drawn(bench.B, bench.H, 16, bench.D))
    inputs = bench.drawn(bench.B, bench.H, S, bench.D)
    Path("/proc/self/clear_refs").write_text("5")  # the highest so far is the present
    before = resident("VmRSS")
    run(*inputs)
print(resident("VmHWM") - before)
"""


def peak(S, kind):
    """Bytes that one call adds to the resident memory of its process."""
    words = [sys.executable, "-c", PEAK, str(S), kind]
    return int(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def forward(S, passes):
    q, k, v = drawn(B, H, S, D)
    found = attention(q, k, v, statistics=True)
    # The first example in float64: all of them at once would not fit in memory at the longest length.
    first = attention(q[:1], k[:1], v[:1], statistics=True)
    output, exact = whole(*(tensor[:1].double() for tensor in (q, k, v)))
    errors = error(found.output[:1], output), float(((numbers(first) - exact) / exact).abs().max())
    assert max(errors) < 5e-6, errors
    own, alone, measured, matrix = milliseconds(
        [
            lambda: F.scaled_dot_product_attention(q, k, v),
            lambda: attention(q, k, v),
            lambda: attention(q, k, v, statistics=True),
            lambda: materialised(q, k, v),
        ],
        passes,
    )
    print(
        f"{S:5d} {own:9.1f} {alone:9.1f} {measured:9.1f} {matrix:9.1f} {measured / own:9.2f} {matrix / measured:9.2f} "
        f"{errors[0]:9.1e} {errors[1]:9.1e} {peak(S, 'tiles') / 2**20:7.0f} {peak(S, 'matrix') / 2**20:7.0f}"
    )


def both_ways(S, passes, causal):
    leaves = [tensor.requires_grad_() for tensor in drawn(B, H, S, D)]
    change = torch.ones(B, H, S, D)

    def own():
        output = F.scaled_dot_product_attention(*leaves, is_causal=causal)
        return torch.autograd.grad(output, leaves, change)

    def ours():
        return torch.autograd.grad(attention(*leaves, causal=causal).output, leaves, change)

    assert max(map(error, ours(), own())) < 1e-5
    theirs, mine = milliseconds([own, ours], passes)
    print(f"{S:5d} {'causal' if causal else 'all':>9s} {theirs:9.1f} {mine:9.1f} {theirs / mine:9.2f}")


def short():
    """The pseudopods' shape: many short sequences, a window for each head; and the same without windows."""
    leaves = [tensor.transpose(1, 2).requires_grad_() for tensor in drawn(64, 16, 12, 16)]
    windows, scale = torch.linspace(1, 16, 12), torch.full((12,), 0.25)
    x = torch.arange(16.0)[:, None]
    bias = torch.zeros(12, 16, 16).masked_fill_((x - x.T).abs() >= windows[:, None, None], -torch.inf)
    change = torch.ones(64, 12, 16, 16)
    ways = {
        "plain": lambda q, k, v: torch.softmax((q * scale[:, None, None]) @ k.mT + bias, -1) @ v,
        "SDPA": lambda q, k, v: F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None]),
        "ours": lambda *given: attention(*given, scale=scale, window=windows, positions=x).output,
    }
    for way in ways.values():
        assert error(way(*leaves), ways["plain"](*leaves)) < 1e-6
    with torch.no_grad():
        once = milliseconds([partial(way, *leaves) for way in ways.values()], 200)
    twice = milliseconds(
        [lambda way=way: torch.autograd.grad(way(*leaves), leaves, change) for way in ways.values()], 200
    )
    for name, times in (("forward", once), ("and backward", twice)):
        print(f"{name:>13s}" + "".join(f" {each:9.2f}" for each in times))


def main():
    torch.set_num_threads(1)
    print(f"forward, B{B} H{H} D{D}, float32, one thread; ms, then ratios, relative errors, peak MiB")
    print(
        "    S      SDPA      ours  measured    matrix measured/  matrix/     error  error of    peak    peak"
    )
    print(
        "                          and stats all stats      SDPA  measured    output statistics  ours  matrix"
    )
    with torch.no_grad():
        for S, passes in LENGTHS.items():
            forward(S, passes)
    print("\nforward and backward; ms\n    S               SDPA      ours SDPA/ours")
    for S, passes in [(256, 9), (1024, 3)]:
        for causal in (False, True):
            both_ways(S, passes, causal)
    print("\nB64 H12 S16 R16 W16 with windows; ms\n                  plain      SDPA      ours")
    short()


if __name__ == "__main__":
    main()
