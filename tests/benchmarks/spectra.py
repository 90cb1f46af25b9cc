"""Correlation and effective rank against plain torch and a singular value decomposition, one thread.

4,096 vectors (8 examples of 512 tokens) of the blueprint's 512 features, and the digits' 1,024 of 64. First
values are compared with float64; then all are timed in turn, and medians count.

    PYTHONPATH=. python tests/benchmarks/spectra.py
"""

import statistics
import time
from collections.abc import Callable
from functools import partial

from runs.machine.settings import prepare

prepare()

import torch  # threads are set before torch loads
from torch import Tensor

from kernels.correlation import correlation
from kernels.effective_rank import effective_rank, reference

SIZES = [(4096, 512), (512, 512), (1024, 64)]
PASSES = 7

Function = Callable[[Tensor], Tensor]


def with_gradient(function: Function, x: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    return torch.autograd.grad(function(x).sum(), x)[0]


def medians(functions: list[Function], x: Tensor) -> list[float]:
    """Milliseconds of this thread for each, in turn."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(PASSES):
        for function, taken in zip(functions, times, strict=True):
            start = time.thread_time()
            function(x)
            taken.append(1e3 * (time.thread_time() - start))
    return [statistics.median(taken) for taken in times]


def compare(title: str, x: Tensor, exact: Tensor, rows: dict[str, Function]) -> None:
    """Print a row for each function; the first one is what the others are measured by."""
    print(f"  {title}")
    forward = medians(list(rows.values()), x)
    both = medians([partial(with_gradient, function) for function in rows.values()], x)
    for (name, function), ahead, whole in zip(rows.items(), forward, both, strict=True):
        error = float((function(x).double() - exact).abs().max() / exact.abs().max())
        assert error < 1e-5, (name, error)
        ratios = f"{ahead:9.2f} ms {forward[0] / ahead:6.2f}x   {whole:9.2f} ms {both[0] / whole:6.2f}x with gradient"
        print(f"    {name:28s} {ratios}  error {error:.0e}")


def main() -> None:
    torch.set_num_threads(1)
    single = {"dtype": torch.float32}
    for N, D in SIZES:
        x = torch.randn(N, D, generator=torch.Generator().manual_seed(0))
        print(f"{N} vectors of {D} features, float32")
        exact = torch.corrcoef(x.double().T)
        correlations: dict[str, Function] = {
            "torch.corrcoef in float64": lambda x: torch.corrcoef(x.double().T),
            "torch.corrcoef in float32": lambda x: torch.corrcoef(x.T),
            "ours (float64)": correlation,
            "ours in float32": partial(correlation, **single),
        }
        compare("correlation", x, exact, correlations)
        grams: dict[str, Function] = {
            "x.T @ x in float64": lambda x: x.double().T @ x.double(),
            "ours in float32": partial(correlation, kind="gram", **single),
        }
        compare("Gram matrix", x, x.double().T @ x.double(), grams)
        for metric, by_definition in (
            ("participation", reference.participation),
            ("entropy", reference.entropy),
        ):
            ranks: dict[str, Function] = {
                "SVD in float64": lambda x, by=by_definition: by(x.double()),  # type: ignore[misc]
                "SVD in float32": by_definition,
                "ours (float64)": partial(effective_rank, metric=metric),
            }
            compare(f"effective rank, {metric}", x, by_definition(x.double()), ranks)


if __name__ == "__main__":
    main()
