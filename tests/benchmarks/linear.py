"""oneDNN's fp32 product against F.linear, 2048 x 256 to 512 and a few more sizes, one thread.

Runs set MKL to a reproducible mode, which slows F.linear: each setting has its own process. First results and
gradients are compared with float64; then both are timed in turn, and medians count. The last column says
which one `linear` takes by itself on this processor.

    PYTHONPATH=. python tests/benchmarks/linear.py
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

from runs.machine.settings import prepare

AS_IT_COMES = "as-it-comes"
if AS_IT_COMES not in sys.argv:
    prepare()

import torch  # MKL reads its settings once
from torch import Tensor
from torch.nn import functional as F

from kernels import onednn
from kernels.linear import linear, pays

SIZES = [
    (2048, 256, 512),
    (2048, 512, 256),
    (1024, 512, 2048),
    (1024, 2048, 128),
    (1024, 64, 192),
    (512, 128, 128),
    (256, 128, 128),
    (64, 64, 64),
]
PASSES = 31


def inputs(M: int, K: int, N: int) -> list[Tensor]:
    stream = torch.Generator().manual_seed(0)
    x, weight, bias = (torch.randn(shape, generator=stream) for shape in ((M, K), (N, K), (N,)))
    return [tensor.requires_grad_() for tensor in (x, weight / K**0.5, bias)]


def both_ways(function: Callable[..., Tensor], given: list[Tensor], change: Tensor) -> list[Tensor]:
    found = function(*given)
    return [found, *torch.autograd.grad(found, given, change)]


def forward(function: Callable[..., Tensor], given: list[Tensor]) -> Tensor:
    with torch.no_grad():
        return function(*given)


def largest_error(given: list[Tensor], change: Tensor) -> float:
    exact = both_ways(
        F.linear, [tensor.detach().double().requires_grad_() for tensor in given], change.double()
    )
    found = both_ways(partial(linear, backend="onednn"), given, change)
    with torch.no_grad():
        return max(float((f - e).norm() / e.norm()) for f, e in zip(found, exact, strict=True))


def medians(functions: list[Callable[[], object]]) -> list[float]:
    """Milliseconds of this thread for each, in turn."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(PASSES):
        for function, taken in zip(functions, times, strict=True):
            start = time.thread_time()
            function()
            taken.append(1e3 * (time.thread_time() - start))
    return [statistics.median(taken) for taken in times]


def table(title: str) -> None:
    print(
        f"{title}: milliseconds of F.linear, of oneDNN, and their ratio; largest relative error; taken by itself"
    )
    ours = partial(linear, backend="onednn")
    for M, K, N in SIZES:
        given = inputs(M, K, N)
        change = torch.randn(M, N, generator=torch.Generator().manual_seed(1))
        error = largest_error(given, change)
        assert error <= 2e-6, error
        ahead = medians([partial(forward, F.linear, given), partial(forward, ours, given)])
        both = medians([partial(both_ways, F.linear, given, change), partial(both_ways, ours, given, change)])
        columns = "  ".join(f"{a:8.3f} {b:8.3f} {a / b:5.2f}x" for a, b in (ahead, both))
        taken = "oneDNN" if pays(given[0], given[1]) else "torch"
        print(f"  {M:5d} x {K:4d} to {N:4d}  forward {columns} with backward  {error:.0e}  {taken}")


def main() -> None:
    if not onednn.available():
        print("this torch was built without oneDNN")
        return
    torch.set_num_threads(1)
    if AS_IT_COMES in sys.argv:
        table("MKL as it comes")
        return
    bare = {name: value for name, value in os.environ.items() if name != "MKL_CBWR"}
    subprocess.run([sys.executable, __file__, AS_IT_COMES], env=bare, check=True)
    table("MKL as runs set it")


if __name__ == "__main__":
    main()
