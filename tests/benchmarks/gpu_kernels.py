"""The Triton kernels on a CUDA device: rates against torch's own, after the answer is checked.

Attention: bfloat16, B x S = 16,384 tokens (at S = 16,384 one sequence), 2,048 / D heads; forward and backward in
TFLOP/s. A forward pass is counted as 4 B H S^2 D operations and a backward pass as 10, half of that when causal,
whoever does more. "flash" and "cudnn" are the backends of scaled_dot_product_attention; "naive" holds the matrix
of weights, as long as it fits.

Grouped products: bfloat16, M rows in E groups, drawn evenly or with the last group exp(1.5) times as likely as the
first; a forward pass is counted as 2 M K N operations and a backward pass as 4. "loop" is a product per group, the
sizes known to the host beforehand.

Each rate is a median. "of mm" is the share of the rate of a square product of 8,192 x 8,192, "of copy" that of the
rate at which 1 GiB is copied, for operands and results moved once. Ends within eight minutes: what is left over
then is named, not measured.

    PYTHONPATH=. python tests/benchmarks/gpu_kernels.py
"""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from kernels.attention.reference import query_statistics
from kernels.attention.visibility import Visibility

LENGTHS, WIDTHS = (512, 1024, 2048, 4096, 8192, 16_384), (64, 128)
TOKENS, MODEL = 16_384, 2_048
SECONDS = 420  # after this, no new row is begun; compiling and measuring one takes well under a minute
NAIVE_BYTES = 8 * 2**30
REPEATS, PASSES = 5, 10
GROUPED = ((32_768, 1024, 4096), (32_768, 4096, 1024), (8192, 128, 512))  # M rows, K and N
GROUPS, PREFERENCES = (8, 64), {"even": 0.0, "uneven": 1.5}
Pass = Callable[[], tuple[Tensor, ...]]


@dataclass(frozen=True, slots=True)
class Row:
    """TFLOP/s of every way for one shape; None where a way does not do it."""

    name: str
    rates: dict[str, float | None]
    intensity: float | None = None  # operations a byte, where each operand and result is moved once


@dataclass(frozen=True, slots=True)
class Limits:
    """What the device was measured to do."""

    product: float  # TFLOP/s
    copy: float  # TB/s, read and written


def main() -> None:
    """Check, measure, print."""
    if not torch.cuda.is_available():
        print("gpu_kernels: needs a CUDA device, and torch sees none; nothing was measured")
        return
    deadline = time.monotonic() + SECONDS
    limits = measured_limits()
    grouped, attention, left_over = [], [], []
    for sizes, groups, routing in product(GROUPED, GROUPS, PREFERENCES):
        if time.monotonic() < deadline:
            grouped += grouped_rows(*sizes, groups, routing)
        else:
            left_over.append(f"grouped {sizes} E={groups} {routing}")
    for length, width, causal in product(LENGTHS, WIDTHS, (False, True)):
        if time.monotonic() < deadline:
            attention += attention_rows(length, width, causal)
        else:
            left_over.append(f"S={length} D={width} {'causal' if causal else 'whole'}")
    report(grouped, attention, limits, left_over)


def measured_limits() -> Limits:
    """Measure the rates of a large product and of a large copy."""
    square = torch.ones(8192, 8192, device="cuda", dtype=torch.bfloat16)
    source = torch.ones(2**29, device="cuda", dtype=torch.bfloat16)
    target = torch.empty_like(source)
    return Limits(
        product=2 * 8192**3 / 1e12 / seconds(lambda: (square @ square,)),
        copy=2 * source.nbytes / 1e12 / seconds(lambda: (target.copy_(source),)),
    )


def grouped_rows(rows: int, inner: int, columns: int, groups: int, routing: str) -> list[Row]:
    """Measure forward and backward passes of one grouped product."""
    stream = torch.Generator("cuda").manual_seed(0)
    x, weights, grad = (
        torch.randn(shape, generator=stream, device="cuda", dtype=torch.bfloat16)
        for shape in ((rows, inner), (groups, inner, columns), (rows, columns))
    )
    shares = torch.linspace(0, PREFERENCES[routing], groups, device="cuda").softmax(0)
    owners = torch.multinomial(shares, rows, replacement=True, generator=stream)
    offsets = torch.bincount(owners, minlength=groups).cumsum(0)
    ways = grouped_ways(x, weights, offsets, grad)
    check_grouped(ways, x, weights, offsets, grad)
    name = f"M={rows:<6} K={inner:<5} N={columns:<5} E={groups:<3} {routing:<6}"
    moved = sum(tensor.nbytes for tensor in (x, weights, grad))
    lines = []
    # Backward, x and the weights are read, the gradient of the result is, and two gradients are written.
    for part, (direction, factor, traffic) in enumerate(
        (("forward", 2, moved), ("backward", 4, 2 * moved - grad.nbytes))
    ):
        operations = factor * rows * inner * columns
        times = {way: seconds(passes[part]) for way, passes in ways.items() if passes[part]}
        rates = {way: operations / 1e12 / taken for way, taken in times.items()}
        lines.append(Row(f"{name} {direction:<8}", rates, operations / traffic))
    return lines


def grouped_ways(
    x: Tensor, weights: Tensor, offsets: Tensor, grad: Tensor
) -> dict[str, tuple[Pass | None, Pass | None]]:
    """Give each way's forward and backward pass; a way that a device or a release lacks has none."""
    from kernels.grouped_gemm import grouped_gemm

    ends, sizes = offsets.int(), torch.diff(offsets, prepend=offsets.new_zeros(1)).tolist()

    def ours(x: Tensor, weights: Tensor) -> Tensor:
        return grouped_gemm(x, weights, offsets, backend="triton")

    def torchs(x: Tensor, weights: Tensor) -> Tensor:
        return F.grouped_mm(x, weights, offs=ends)

    def loop(x: Tensor, weights: Tensor) -> Tensor:
        return torch.cat([part @ own for part, own in zip(x.split(sizes), weights.unbind(0), strict=True)])

    ways = {"ours": ours, "grouped_mm": torchs, "loop": loop}
    return {name: passes_of(function, (x, weights), grad) for name, function in ways.items()}


def check_grouped(
    ways: dict[str, tuple[Pass | None, Pass | None]],
    x: Tensor,
    weights: Tensor,
    offsets: Tensor,
    grad: Tensor,
) -> None:
    """Compare every way with a loop in float64; errors may be 1 in 100 of the largest number."""
    assert all(ways["ours"]), "the Triton kernels do not run"
    sizes = torch.diff(offsets, prepend=offsets.new_zeros(1)).tolist()
    parts = list(zip(x.split(sizes), weights.unbind(0), grad.split(sizes), strict=True))
    output = torch.cat([rows.double() @ own.double() for rows, own, _ in parts])
    to_x = torch.cat([change.double() @ own.double().mT for _, own, change in parts])
    to_weights = torch.stack([rows.double().mT @ change.double() for rows, _, change in parts])
    for way, passes in ways.items():
        for run, wanted in zip(passes, ((output,), (to_x, to_weights)), strict=True):
            for found, exact in zip(run() if run else (), wanted if run else (), strict=True):
                error = (found.double() - exact).abs().max() / exact.abs().max()
                assert error < 0.01, f"{way} errs by {error:.3f} at {list(x.shape)} x {list(weights.shape)}"


def attention_rows(length: int, width: int, causal: bool) -> list[Row]:
    """Measure forward and backward passes of one shape."""
    stream = torch.Generator("cuda").manual_seed(0)
    B, H = TOKENS // length, MODEL // width
    q, k, v, grad = (
        torch.randn(B, H, length, width, generator=stream, device="cuda", dtype=torch.bfloat16)
        for _ in range(4)
    )
    ways = attention_ways(q, k, v, grad, causal)
    check_attention(ways, q, k, v, grad, causal)
    operations = B * H * length**2 * width * (0.5 if causal else 1.0) / 1e12
    name = f"S={length:<6} D={width:<4} {'causal' if causal else 'whole':<7}"
    rows = []
    for part, (direction, factor) in enumerate((("forward", 4), ("backward", 10))):
        times = {way: passes[part] and seconds(passes[part]) for way, passes in ways.items()}
        rates = {way: taken and factor * operations / taken for way, taken in times.items()}
        rows.append(Row(f"{name} {direction:<8}", rates))
    return rows


def attention_ways(
    q: Tensor, k: Tensor, v: Tensor, grad: Tensor, causal: bool
) -> dict[str, tuple[Pass | None, Pass | None]]:
    """Give each way's forward and backward pass; a way that a device or a shape lacks has none."""
    from kernels.attention.triton.backward import backward
    from kernels.attention.triton.forward import forward

    B, H, S, R = q.shape
    scale = torch.full((H,), R**-0.5, device="cuda")
    positions = torch.arange(S, device="cuda", dtype=torch.float32)[:, None]
    seeing = (scale, causal, None, None, positions)
    output, lse, _ = forward(q, k, v, *seeing, False)

    def measured() -> tuple[Tensor, ...]:
        found, _, per_query = forward(q, k, v, *seeing, True)
        return found, *per_query.unbind()

    ways: dict[str, tuple[Pass | None, Pass | None]] = {
        "ours": (
            lambda: forward(q, k, v, *seeing, False)[:1],
            lambda: backward(grad, q, k, v, output, lse, *seeing),
        ),
        "measured": (measured, None),
    }
    for name, backend in (("flash", SDPBackend.FLASH_ATTENTION), ("cudnn", SDPBackend.CUDNN_ATTENTION)):

        def theirs(q: Tensor, k: Tensor, v: Tensor, backend: SDPBackend = backend) -> Tensor:
            with sdpa_kernel(backend):
                return scaled_dot_product_attention(q, k, v, is_causal=causal)

        ways[name] = passes_of(theirs, (q, k, v), grad)
    if 3 * B * H * S * S * 2 <= NAIVE_BYTES:
        hidden = torch.ones(S, S, dtype=torch.bool, device="cuda").triu(1)

        def naive(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            scores = q @ k.mT * R**-0.5
            return (scores.masked_fill(hidden, -torch.inf) if causal else scores).softmax(-1) @ v

        ways["naive"] = passes_of(naive, (q, k, v), grad)
    return ways


def passes_of(
    function: Callable[..., Tensor], given: tuple[Tensor, ...], grad: Tensor
) -> tuple[Pass | None, Pass | None]:
    """Give the passes of a differentiable function, or none where torch says that it has no kernel."""
    inputs = [tensor.detach().requires_grad_() for tensor in given]
    try:
        output = function(*inputs)
        torch.autograd.grad(output, inputs, grad, retain_graph=True)
    except (AttributeError, RuntimeError) as error:
        print(f"not measured: {error}".splitlines()[0], file=sys.stderr)
        return None, None

    def forward() -> tuple[Tensor, ...]:
        with torch.no_grad():
            return (function(*given),)

    return forward, lambda: torch.autograd.grad(output, inputs, grad, retain_graph=True)


def check_attention(
    ways: dict[str, tuple[Pass | None, Pass | None]],
    q: Tensor,
    k: Tensor,
    v: Tensor,
    grad: Tensor,
    causal: bool,
) -> None:
    """Compare one head of every way with the definition in float64; errors may be 3 in 100 of the largest."""
    inputs = [tensor[:1, :1].double().requires_grad_() for tensor in (q, k, v)]
    scores = inputs[0] @ inputs[1].mT * q.shape[-1] ** -0.5
    if causal:
        scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), -torch.inf)
    weights = scores.softmax(-1)
    output = weights @ inputs[2]
    gradients = torch.autograd.grad(output, inputs, grad[:1, :1].double())
    one = torch.ones(1, dtype=torch.float64, device=q.device)
    numbers = query_statistics(weights.detach(), Visibility(one, causal, None, None, None)).unbind()
    for way, passes in ways.items():
        exacts = (output.detach(), *(numbers if way == "measured" else ()))
        for run, wanted in zip(passes, (exacts, gradients), strict=True):
            for found, exact in zip(run() if run else (), wanted if run else (), strict=True):
                error = (found[:1, :1].double() - exact).abs().max() / exact.abs().max()
                assert error < 0.03, f"{way} errs by {error:.3f} at S={q.shape[2]}, D={q.shape[3]}"


def seconds(run: Pass) -> float:
    """Time a pass by the device's clock: the median of several rows of passes, after one to warm up."""
    taken = []
    for _ in range(1 + REPEATS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(PASSES):  # one after another, so that the device does not wait for Python
            run()
        end.record()
        end.synchronize()
        taken.append(start.elapsed_time(end) / 1e3 / PASSES)
    return statistics.median(taken[1:])


def report(grouped: list[Row], attention: list[Row], limits: Limits, left_over: list[str]) -> None:
    """Print the tables, with the ratios that are aimed at."""
    import triton

    device = torch.cuda.get_device_name()
    print(f"{device}, torch {torch.__version__}, Triton {triton.__version__}; TFLOP/s in bfloat16; ", end="")
    print(f"a product of 8,192 squared {limits.product:.0f}, a copy {limits.copy:.2f} TB/s")
    table(grouped, ("ours", "grouped_mm", "loop"), (("ours", "grouped_mm"),), limits)
    table(
        attention,
        ("ours", "measured", "flash", "cudnn", "naive"),
        (("ours", "flash"), ("measured", "flash")),
        limits,
    )
    if left_over:
        print("no time was left for", "; ".join(left_over))


def table(
    rows: list[Row], ways: tuple[str, ...], ratios: tuple[tuple[str, str], ...], limits: Limits
) -> None:
    """Print the rates of each way, ratios of two ways, and shares of what the device can do."""
    space = max((len(row.name) for row in rows), default=0)
    titles = [f"{way:>11}" for way in ways] + [f"{f'{a}/{b}':>16}" for a, b in ratios]
    print(f"{'':<{space}}", *titles, f"{'of mm':>8}", f"{'of copy':>8}")
    for row in rows:
        ours = row.rates.get("ours")
        cells = [figure(row.rates.get(way), 11, 0) for way in ways]
        cells += [figure(quotient(row.rates.get(a), row.rates.get(b)), 16, 2) for a, b in ratios]
        moved = quotient(ours, row.intensity)  # TB/s
        print(
            f"{row.name:<{space}}",
            *cells,
            figure(quotient(ours, limits.product), 8, 2),
            figure(quotient(moved, limits.copy), 8, 2),
        )


def quotient(a: float | None, b: float | None) -> float | None:
    """Divide, where both are there."""
    return a / b if a and b else None


def figure(value: float | None, space: int, digits: int) -> str:
    """Align a number, or a dash where there is none."""
    return f"{'-':>{space}}" if value is None else f"{value:>{space}.{digits}f}"


if __name__ == "__main__":
    main()
