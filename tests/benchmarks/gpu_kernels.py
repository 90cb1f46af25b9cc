"""The Triton kernels on a CUDA device: rates against torch's own, after the answer is checked.

Attention: bfloat16, B x S = 16,384 tokens (at S = 16,384 one sequence), 2,048 / D heads; forward and backward in
TFLOP/s. A forward pass is counted as 4 B H S^2 D operations and a backward pass as 10, half of that when causal,
whoever does more. Each rate is a median. "flash" and "cudnn" are the backends of
scaled_dot_product_attention; "naive" holds the matrix of weights, as long as it fits. Ends within eight minutes:
what is left over then is named, not measured.

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
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

LENGTHS, WIDTHS = (512, 1024, 2048, 4096, 8192, 16_384), (64, 128)
TOKENS, MODEL = 16_384, 2_048
SECONDS = 420  # after this, no new row is begun; compiling and measuring one takes well under a minute
NAIVE_BYTES = 8 * 2**30
REPEATS, PASSES = 5, 10


@dataclass(frozen=True, slots=True)
class Row:
    """TFLOP/s of every way for one shape; None where a way does not do it."""

    name: str
    rates: dict[str, float | None]


def main() -> None:
    """Check, measure, print."""
    if not torch.cuda.is_available():
        print("gpu_kernels: needs a CUDA device, and torch sees none; nothing was measured")
        return
    deadline = time.monotonic() + SECONDS
    rows, left_over = [], []
    for length, width, causal in product(LENGTHS, WIDTHS, (False, True)):
        if time.monotonic() < deadline:
            rows += attention_rows(length, width, causal)
        else:
            left_over.append(f"S={length} D={width} {'causal' if causal else 'whole'}")
    # Grouped products add their rows here, each after a check of its answer.
    report(rows, left_over)


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


Pass = Callable[[], tuple[Tensor, ...]]


def attention_ways(
    q: Tensor, k: Tensor, v: Tensor, grad: Tensor, causal: bool
) -> dict[str, tuple[Pass | None, Pass | None]]:
    """Give each way's forward and backward pass; a way that a device or a shape lacks has none."""
    from kernels.attention.triton_backward import backward
    from kernels.attention.triton_forward import forward

    B, H, S, R = q.shape
    scale = torch.full((H,), R**-0.5, device="cuda")
    positions = torch.arange(S, device="cuda", dtype=torch.float32)[:, None]
    seeing = (scale, causal, None, None, positions)
    output, lse, _ = forward(q, k, v, *seeing, False)
    ways: dict[str, tuple[Pass | None, Pass | None]] = {
        "ours": (
            lambda: forward(q, k, v, *seeing, False)[:1],
            lambda: backward(grad, q, k, v, output, lse, *seeing),
        ),
        "measured": (lambda: forward(q, k, v, *seeing, True)[:1], None),
    }
    for name, backend in (("flash", SDPBackend.FLASH_ATTENTION), ("cudnn", SDPBackend.CUDNN_ATTENTION)):

        def theirs(q: Tensor, k: Tensor, v: Tensor, backend: SDPBackend = backend) -> Tensor:
            with sdpa_kernel(backend):
                return scaled_dot_product_attention(q, k, v, is_causal=causal)

        ways[name] = passes_of(theirs, q, k, v, grad)
    if 3 * B * H * S * S * 2 <= NAIVE_BYTES:
        hidden = torch.ones(S, S, dtype=torch.bool, device="cuda").triu(1)

        def naive(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            scores = q @ k.mT * R**-0.5
            return (scores.masked_fill(hidden, -torch.inf) if causal else scores).softmax(-1) @ v

        ways["naive"] = passes_of(naive, q, k, v, grad)
    return ways


def passes_of(
    function: Callable[[Tensor, Tensor, Tensor], Tensor], q: Tensor, k: Tensor, v: Tensor, grad: Tensor
) -> tuple[Pass | None, Pass | None]:
    """Give the passes of a differentiable function, or none where torch says that it has no kernel."""
    inputs = [tensor.detach().requires_grad_() for tensor in (q, k, v)]
    try:
        output = function(*inputs)
    except RuntimeError as error:
        print(f"not measured: {error}".splitlines()[0], file=sys.stderr)
        return None, None

    def forward() -> tuple[Tensor, ...]:
        with torch.no_grad():
            return (function(q, k, v),)

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
    output = scores.softmax(-1) @ inputs[2]
    gradients = torch.autograd.grad(output, inputs, grad[:1, :1].double())
    for way, passes in ways.items():
        for run, wanted in zip(passes, ((output.detach(),), gradients), strict=True):
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


def report(rows: list[Row], left_over: list[str]) -> None:
    """Print the table, and the two ratios that are aimed at."""
    import triton

    device = torch.cuda.get_device_name()
    print(f"{device}, torch {torch.__version__}, Triton {triton.__version__}; TFLOP/s; attention in bfloat16")
    ways = ("ours", "measured", "flash", "cudnn", "naive")
    print(f"{'':<32}" + "".join(f"{way:>10}" for way in ways) + f"{'ours/flash':>12}{'measured/flash':>16}")
    for row in rows:
        cells = "".join(figure(row.rates.get(way), 10, 0) for way in ways)
        flash = row.rates.get("flash")
        for way, space in (("ours", 12), ("measured", 16)):
            rate = row.rates.get(way)
            cells += figure(rate / flash if rate and flash else None, space, 2)
        print(f"{row.name:<32}{cells}")
    if left_over:
        print("no time was left for", "; ".join(left_over))


def figure(value: float | None, space: int, digits: int) -> str:
    """Align a number, or a dash where there is none."""
    return f"{'-':>{space}}" if value is None else f"{value:>{space}.{digits}f}"


if __name__ == "__main__":
    main()
