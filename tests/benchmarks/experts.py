"""Layers of experts in their three dispatch modes, against a loop over experts and all experts for all tokens.

Each of 4,096 tokens goes to two of E experts, 128 -> 512 -> 128; the routing is given, all that follows it is
timed. "loop" is how model libraries write it: for each expert the places of a mask, two linear maps and an
index_add; "loop, oneDNN" is the same with oneDNN's linear map. "all": every expert computes every token. "even":
experts drawn at random; "uneven": the last is liked exp(1.5) times as much as the first. Then models of 6 layers:
tokens per second against a dense model as wide as the two experts of a token. fp32, settings of runs, one thread
and two. Outputs and gradients are compared first; then all are timed in turn. What counts is, so that other
processes count little, the median of the CPU time on one thread, and the shortest time by the clock on two.

On a CUDA device also 16,384 tokens, 1,024 -> 4,096 -> 1,024 in bf16, against torch's own grouped product and
"all".

    PYTHONPATH=. python tests/benchmarks/experts.py
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from runs.machine.settings import prepare

prepare()

import torch  # threads are set before torch loads
from torch import Tensor
from torch.nn import functional as F

from kernels.linear import linear
from organisms.experts.config import ModelConfig
from organisms.experts.dispatch.dispatch import DISPATCH
from organisms.experts.dispatch.expert_outputs import Experts, expert_outputs
from organisms.experts.models import MoESequenceRegressor
from organisms.experts.routing.decision import RoutingInfo
from organisms.layers.activations import ACTIVATIONS

TOKENS, CHOICES, WIDTH, HIDDEN = 4096, 2, 128, 512
REPEATS, SLOW = 9, 3  # the slow ways take their turn in every SLOW-th round only
# Experts, how the routing is drawn, activation, biases.
CASES = [
    (8, "even", "relu", False),
    (16, "even", "relu", False),
    (8, "uneven", "relu", False),
    (8, "even", "swiglu", True),
]
PREFERENCE = {"even": 0.0, "uneven": 1.5}
LAYERS, SEQUENCES, LENGTH = 6, 16, 256


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """What every way is given, and the change of the result that gradients are taken for."""

    x: Tensor
    routing: RoutingInfo
    experts: Experts
    change: Tensor

    def leaves(self) -> list[Tensor]:
        parts = (self.experts.W1, self.experts.W2, self.experts.b1, self.experts.b2)
        return [self.x, self.routing.weights, *(part for part in parts if part is not None)]


def drawn(
    tokens: int,
    sizes: tuple[int, int],
    number: int,
    how: str,
    activation: str,
    bias: bool,
    *,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Case:
    """Draw tokens, experts, and two different experts for each token."""
    width, hidden = sizes
    stream = torch.Generator().manual_seed(0)

    def leaf(*shape: int, std: float = 1.0) -> Tensor:
        return (torch.randn(shape, generator=stream) * std).to(device, dtype).requires_grad_()

    bend = ACTIVATIONS[activation]
    columns = bend.width(hidden)
    experts = Experts(
        leaf(number, width, columns, std=width**-0.5),
        leaf(number, hidden, width, std=hidden**-0.5),
        leaf(number, columns) if bias else None,
        leaf(number, width) if bias else None,
        bend,
    )
    noise = -torch.empty(tokens, number).exponential_(generator=stream).log()  # Gumbel: top k of a softmax
    scores, chosen = (noise + torch.linspace(0, PREFERENCE[how], number)).topk(CHOICES)
    weights = torch.softmax(scores, -1).to(device).requires_grad_()
    chosen, gates = chosen.to(device), torch.zeros(tokens, number, device=device)
    kept, zero = torch.ones_like(chosen, dtype=torch.bool), gates.new_zeros(())
    routing = RoutingInfo(
        *(chosen, weights, kept, kept, kept[:, 0], gates, gates, None), *(zero, zero, zero, zero, {})
    )
    change = torch.randn(tokens, width, generator=stream).to(device, dtype)
    return Case(leaf(tokens, width), routing, experts, change)


Way = Callable[[Case], Tensor]


def ours(case: Case, mode: str) -> Tensor:
    """Compute by a dispatch mode of the library."""
    compute = "grouped_gemm" if mode == "sorted" else "bmm"
    return DISPATCH[mode](case.x, case.routing, partial(answers, case, compute))


def answers(case: Case, compute: str, rows: Tensor, offsets: Tensor | None) -> Tensor:
    return expert_outputs(rows, offsets, case.experts, compute=compute)


def network(case: Case, expert: int, rows: Tensor, backend: str) -> Tensor:
    """One expert as two linear maps."""
    experts = case.experts
    b1, b2 = (None if bias is None else bias[expert] for bias in (experts.b1, experts.b2))
    h = experts.activation(linear(rows, experts.W1[expert].T, b1, backend=backend))
    return linear(h, experts.W2[expert].T, b2, backend=backend)


def loop(case: Case, backend: str) -> Tensor:
    """Go through the experts: which tokens chose it, its answers to them, and their weighted sum."""
    y = torch.zeros_like(case.x)
    for expert in range(len(case.experts.W1)):
        token, choice = torch.where(case.routing.experts == expert)
        weight = case.routing.weights[token, choice, None].to(y.dtype)
        y = y.index_add(0, token, weight * network(case, expert, case.x[token], backend))
    return y


def everything(case: Case) -> Tensor:
    """Let every expert answer every token, and weigh most answers by zero."""
    weights = case.routing.combine_weights.to(case.x.dtype)
    y = torch.zeros_like(case.x)
    for expert in range(len(case.experts.W1)):
        y = y + weights[:, expert, None] * network(case, expert, case.x, "torch")
    return y


def torchs_own(case: Case) -> Tensor:
    """Sort the rows as a few lines would, and multiply them by torch's grouped product."""
    flat = case.routing.experts.flatten()
    order = torch.argsort(flat, stable=True)
    ends = torch.bincount(flat, minlength=len(case.experts.W1)).cumsum(0).int()
    token = order // CHOICES
    h = case.experts.activation(F.grouped_mm(case.x[token], case.experts.W1, offs=ends))
    weight = case.routing.weights.flatten()[order, None].to(case.x.dtype)
    return torch.zeros_like(case.x).index_add(0, token, weight * F.grouped_mm(h, case.experts.W2, offs=ends))


WAYS: dict[str, Way] = {
    "sorted": partial(ours, mode="sorted"),
    "indices": partial(ours, mode="indices"),
    "loop": partial(loop, backend="torch"),
    "loop, oneDNN": partial(loop, backend="onednn"),
    "all": everything,
    "dense": partial(ours, mode="dense"),
}
SLOWLY = ("all", "dense")
GPU_WAYS: dict[str, Way] = {
    "sorted": partial(ours, mode="sorted"),
    "grouped_mm": torchs_own,
    "all": everything,
}


def results(way: Way, case: Case) -> tuple[Tensor, ...]:
    """Do a forward and a backward pass."""
    y = way(case)
    return y.detach(), *torch.autograd.grad(y, case.leaves(), case.change)


def forward(way: Way, case: Case) -> Tensor:
    """Do a forward pass alone."""
    with torch.no_grad():
        return way(case)


def check(ways: dict[str, Way], case: Case, tolerance: float) -> None:
    """Compare every way's output and gradients with those of the sorted mode, as parts of their sizes."""
    wanted = results(ways["sorted"], case)
    for name, way in ways.items():
        for found, other in zip(results(way, case), wanted, strict=True):
            error = float((found - other).norm() / other.norm())
            assert error <= tolerance, f"{name} differs from the sorted mode by {error:.1e}"


def milliseconds(function: Callable[..., object], *given: object) -> float:
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    function(*given)
    return (clock() - start) * 1e3


def typical(taken: list[float]) -> float:
    return statistics.median(taken) if torch.get_num_threads() == 1 else min(taken)


def in_turn(step: Callable[[Way, Case], object], ways: dict[str, Way], case: Case) -> dict[str, float]:
    """Time the ways in turn."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(REPEATS):
        for name, way in ways.items():
            if name not in SLOWLY or turn % SLOW == 0:
                times[name].append(milliseconds(step, way, case))
    return {name: typical(taken) for name, taken in times.items()}


def layers() -> None:
    ways = {
        name: way
        for name, way in WAYS.items()
        if name != "loop, oneDNN" or torch.backends.mkldnn.is_available()
    }
    sizes = f"{TOKENS} tokens, {CHOICES} experts each, {WIDTH} -> {HIDDEN} -> {WIDTH}"
    print(f"{sizes}; ms, and times the first")
    print(f"{'':<42}" + "".join(f"{name:>15}" for name in ways))
    for number, how, activation, bias in CASES:
        case = drawn(TOKENS, (WIDTH, HIDDEN), number, how, activation, bias)
        torch.set_num_threads(1)
        check(ways, case, 1e-5)
        busiest = float(case.routing.loads.max()) * number / (TOKENS * CHOICES)
        print(
            f"E={number}, {activation}{' and biases' if bias else ''}, {how}: busiest {busiest:.2f} x the mean"
        )
        for threads in (1, 2):
            torch.set_num_threads(threads)
            for name, step in (("forward", forward), ("forward and backward", results)):
                taken = in_turn(step, ways, case)
                cells = "".join(f"{ms:8.1f} {ms / taken['sorted']:5.2f}x" for ms in taken.values())
                print(f"  {threads} thread{'s' * (threads - 1):<1}, {name:<28} {cells}", flush=True)


def models() -> None:
    """Compare a mixture with a dense model that has as many parameters at work for each token."""
    values = torch.randn(SEQUENCES, LENGTH, 3, generator=torch.Generator().manual_seed(0))
    width, heads = WIDTH, 4
    built = {}
    for name, hidden in (("moe", HIDDEN), ("dense", CHOICES * HIDDEN)):
        moe = {"d_model": width, "router": {"n_experts": 8, "k": CHOICES}, "expert": {"d_hidden": hidden}}
        block = {"moe": moe, "attention": {"n_heads": heads}, "feed_forward": name}
        config = ModelConfig.model_validate({"n_layers": LAYERS, "n_inputs": 3, "block": block})
        built[name] = MoESequenceRegressor(config, torch.Generator().manual_seed(0))
    sizes = ", ".join(
        f"{name} {sum(p.numel() for p in model.parameters()) / 1e6:.1f}M" for name, model in built.items()
    )
    print(
        f"\n{LAYERS} layers of {width}, E=8, k=2, swiglu, {SEQUENCES} x {LENGTH} tokens; parameters: {sizes}"
    )
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for name, step in (("forward", predict), ("forward and backward", train)):
            taken = {}
            for kind, model in built.items():
                step(model, values)
                taken[kind] = typical([milliseconds(step, model, values) for _ in range(SLOW)])
            rates = {kind: values.shape[0] * LENGTH / ms * 1e3 for kind, ms in taken.items()}
            print(
                f"  {threads} thread{'s' * (threads - 1):<1}, {name:<22} moe {rates['moe']:>9,.0f} tokens/s, "
                f"dense {rates['dense']:>9,.0f} tokens/s, {rates['moe'] / rates['dense']:.2f} of it",
                flush=True,
            )


def predict(model: MoESequenceRegressor, values: Tensor) -> None:
    with torch.no_grad():
        model.eval()(values)


def train(model: MoESequenceRegressor, values: Tensor) -> None:
    predictions, metrics = model.train()(values[:, :-1])
    loss = F.mse_loss(predictions, values[:, 1:]) + metrics.get("aux_total", 0.0)
    torch.autograd.grad(loss, list(model.parameters()))


def seconds(step: Callable[[Way, Case], object], way: Way, case: Case) -> float:
    """Time a step on a CUDA device by its own clock, after one to warm up: median of several."""
    taken = []
    for _ in range(1 + SLOW):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        step(way, case)
        end.record()
        end.synchronize()
        taken.append(start.elapsed_time(end) / 1e3)
    return statistics.median(taken[1:])


def on_cuda(tokens: int, sizes: tuple[int, int], numbers: tuple[int, ...], device: str = "cuda") -> None:
    """Check and print the sorted mode against torch's grouped product and against all experts for all tokens."""
    print(
        f"\n{torch.cuda.get_device_name()}, torch {torch.__version__}: {tokens} tokens, {sizes}, bf16; TFLOP/s"
    )
    print(f"{'':<32}" + "".join(f"{name:>12}" for name in GPU_WAYS) + "   of work that is asked for")
    for number in numbers:
        case = drawn(tokens, sizes, number, "even", "relu", False, device=device, dtype=torch.bfloat16)
        check(GPU_WAYS, case, 3e-2)
        products = 4 * tokens * CHOICES * sizes[0] * sizes[1] / 1e12
        for name, step, factor in (("forward", forward, 1), ("forward and backward", results, 3)):
            rates = [factor * products / seconds(step, way, case) for way in GPU_WAYS.values()]
            print(f"  E={number:<4} {name:<24} " + "".join(f"{rate:>12.1f}" for rate in rates), flush=True)


def main() -> None:
    layers()
    models()
    if torch.cuda.is_available():
        on_cuda(16_384, (1024, 4096), (8, 16, 32, 64))
    else:
        print("\nno CUDA device: bf16 against torch's grouped product was not measured")


if __name__ == "__main__":
    main()
