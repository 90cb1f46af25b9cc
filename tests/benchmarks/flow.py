"""What flow costs as sequences grow, against a transformer of equal parameters and against dense composition.

FlowNetwork as it comes (a window of 128, K = 13 positions, a memory of 64 slots), the same without memory, and a causal
transformer of torch's own layers with its fused attention and rotary positions: equal width, layers and heads, and a
feed-forward network so wide that parameters are equal. One sequence of S symbols; a training step is forward, loss and
backward. Then one causal FlowLayer against the dense composition of published code: for every token all patterns, each
D x D, are mixed to a matrix, whose largest tenth is kept and applied: [B, S, D, D].

Answers are checked first. Times are medians over rounds in which all take turns, in CPU time of one thread, with
torch as it comes. A peak is how far the resident memory of a process of its own rises above what it was before the call
(Linux only), after a call at a short length. How cost grows is the slope of a line through the logarithms, from
--fitted symbols on. Where the dense matrices would take more than half of the memory that is free they are left out.

    PYTHONPATH=. python tests/benchmarks/flow.py [--lengths 128,256,...] [--dim 128] [--rounds 3] [--peaks 128,...]
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from organisms.flow import FlowLayer, FlowNetwork
from organisms.layers.rotary import RoPE

V, LAYERS, HEADS, PATTERNS, WINDOW = 256, 2, 4, 16, 128
SHARE = 0.1  # of a matrix that dense composition keeps, and of a window that a flow does
PASSES = ("forward", "training")
SHORT = 16  # symbols of the pass before a peak is measured
CHECKED = 40  # symbols by which answers are checked
GIB = 2**30

Step = Callable[[], object]


class Block(nn.Module):
    """x <- x + attention(norm(x)), x <- x + ffn(norm(x))."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads, self.rope = heads, RoPE(width // heads)
        self.norms = nn.ModuleList(nn.RMSNorm(width) for _ in range(2))
        self.read, self.write = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.feed_forward = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            each.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for each in self.read(self.norms[0](x)).chunk(3, -1)
        )
        attended = F.scaled_dot_product_attention(*self.rope(q, k), v, is_causal=True)
        x = x + self.write(attended.transpose(1, 2).flatten(2))
        return x + self.feed_forward(self.norms[1](x))


class Transformer(nn.Module):
    """A causal transformer of torch's layers, drawn from a seed."""

    def __init__(self, vocabulary: int, width: int, layers: int, heads: int, hidden: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # torch's layers draw from the global generator alone
            self.embed = nn.Embedding(vocabulary, width)
            self.blocks = nn.ModuleList(Block(width, heads, hidden) for _ in range(layers))
            self.norm, self.head = nn.RMSNorm(width), nn.Linear(width, vocabulary, bias=False)

    def forward(self, ids: Tensor) -> tuple[Tensor]:
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return (self.head(self.norm(x)),)


def parameters(model: nn.Module) -> int:
    return sum(each.numel() for each in model.parameters())


def transformer_like(
    model: nn.Module, vocabulary: int, width: int, layers: int, heads: int, seed: int = 0
) -> Transformer:
    """The transformer whose feed-forward network makes it as large as a model."""
    least = Transformer(vocabulary, width, layers, heads, 1, seed)
    hidden = 1 + (parameters(model) - parameters(least)) / (layers * (2 * width + 1))
    return Transformer(vocabulary, width, layers, heads, max(1, round(hidden)), seed)


def models(width: int, longest: int) -> dict[str, nn.Module]:
    given = {"num_heads": HEADS, "num_patterns": PATTERNS, "base_sparsity": SHARE, "window": WINDOW}
    longest = max(longest, CHECKED)
    flow = FlowNetwork(V, width, LAYERS, longest, **given)
    bare = FlowNetwork(V, width, LAYERS, longest, memory_size=None, **given)
    return {
        "transformer": transformer_like(flow, V, width, LAYERS, HEADS),
        "flow": flow,
        "flow, no memory": bare,
    }


def symbols(length: int) -> Tensor:
    return torch.randint(V, (1, length), generator=torch.Generator().manual_seed(0))


def check(model: nn.Module, name: str) -> None:
    """A causal model does not know what comes, and depends on what came."""
    ids = symbols(CHECKED)
    other = ids.clone()
    other[0, 30] = (ids[0, 30] + 1) % V
    with torch.no_grad():
        before, after = model(ids)[0], model(other)[0]
    assert torch.allclose(before[:, :30], after[:, :30], atol=1e-5), f"{name} sees later symbols"
    assert float((before[:, 31:] - after[:, 31:]).abs().max()) > 1e-5, f"{name} does not see earlier symbols"


def step(model: nn.Module, length: int, kind: str) -> Step:
    ids = symbols(length)

    def forward() -> None:
        with torch.no_grad():
            model(ids)

    def training() -> None:
        loss = F.cross_entropy(model(ids)[0].flatten(0, 1), ids.flatten())
        torch.autograd.grad(loss, list(model.parameters()))

    return forward if kind == "forward" else training


class Dense(nn.Module):
    """y_t = M_t x_t, where M_t is the largest tenth of i_t sum_p w_tp M_p; w is a softmax over all patterns."""

    def __init__(self, width: int) -> None:
        super().__init__()
        stream = torch.Generator().manual_seed(0)
        self.patterns = nn.Parameter(torch.randn(PATTERNS, width, width, generator=stream) / width**0.5)
        self.mixer = nn.Parameter(torch.randn(PATTERNS, width, generator=stream) / width**0.5)
        self.intensity = nn.Parameter(torch.randn(1, width, generator=stream) / width**0.5)

    def forward(self, x: Tensor) -> Tensor:
        w_BSP = F.linear(x, self.mixer).softmax(-1)
        m_BSOD = torch.einsum("bsp,pod->bsod", w_BSP, self.patterns)
        flat_BSN = (m_BSOD * F.linear(x, self.intensity).sigmoid().unsqueeze(-1)).flatten(2)
        best = flat_BSN.abs().topk(max(1, int(SHARE * flat_BSN.shape[-1]))).indices
        kept_BSN = flat_BSN * torch.zeros_like(flat_BSN).scatter_(-1, best, 1.0)
        return torch.einsum("bsod,bsd->bso", kept_BSN.view_as(m_BSOD), x)


class Moved(nn.Module):
    """What a FlowLayer moves, without its metrics."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.flow = FlowLayer(width, width, PATTERNS, SHARE, window=WINDOW, causal=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.flow(x, materialize=False)[0]


def layers(width: int) -> dict[str, nn.Module]:
    return {"dense": Dense(width), "flow layer": Moved(width)}


def tokens(length: int, width: int) -> Tensor:
    return torch.randn(1, length, width, generator=torch.Generator().manual_seed(0))


def check_layers(made: dict[str, nn.Module], width: int) -> None:
    dense, moved = made["dense"], made["flow layer"]
    x = tokens(20, width)
    with torch.no_grad():
        w = (x[0, 3] @ dense.mixer.T).softmax(-1)
        matrix = (w[:, None, None] * dense.patterns).sum(0) * (x[0, 3] @ dense.intensity[0]).sigmoid()
        least = matrix.abs().flatten().sort().values[-max(1, int(SHARE * width**2))]
        wanted = matrix.where(matrix.abs() >= least, 0.0) @ x[0, 3]
        torch.testing.assert_close(dense(x)[0, 3], wanted, rtol=1e-3, atol=1e-4)
        flow = moved.flow
        torch.testing.assert_close(moved(x), flow.apply_flow(flow(x)[0], x), rtol=1e-3, atol=1e-4)


def layer_step(layer: nn.Module, length: int, width: int, kind: str) -> Step:
    x = tokens(length, width)

    def forward() -> None:
        with torch.no_grad():
            layer(x)

    def training() -> None:
        torch.autograd.grad(layer(x).square().mean(), list(layer.parameters()))

    return forward if kind == "forward" else training


def milliseconds(steps: dict[str, Step], rounds: int) -> dict[str, float]:
    """Medians of steps that take turns; the first of all warms up."""
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for round_ in range(rounds + 1):
        turns = list(steps.items())
        for name, each in turns if round_ % 2 else reversed(turns):  # who comes next finds caches warm
            start = time.thread_time()
            each()
            taken[name].append(1e3 * (time.thread_time() - start))
    return {name: statistics.median(times[1:] or times) for name, times in taken.items()}


def resident(line: str) -> int:
    """Bytes of this process, by a line of the kernel's account of it."""
    (found,) = [row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith(line)]
    return 1024 * int(found.split()[1])


def rise(name: str, length: int, width: int) -> dict[str, int]:
    """Bytes that a pass of each kind adds to the resident memory of this process, which is to be a new one."""
    torch.set_num_threads(1)
    is_layer = name in ("dense", "flow layer")
    made = layers(width)[name] if is_layer else models(width, length)[name]
    made_of = (
        (lambda S, kind: layer_step(made, S, width, kind)) if is_layer else (lambda S, k: step(made, S, k))
    )
    found = {}
    for kind in PASSES:
        made_of(SHORT, kind)()
        whole = made_of(length, kind)
        Path("/proc/self/clear_refs").write_text("5")  # the highest so far is the present
        before = resident("VmRSS")
        whole()
        found[kind] = resident("VmHWM") - before
    return found


def peaks(name: str, length: int, width: int) -> dict[str, int]:
    """The same, of a process of its own."""
    code = f"from tests.benchmarks import flow; print(*flow.rise({name!r}, {length}, {width}).values())"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return dict(zip(PASSES, map(int, done.stdout.split()), strict=True))


def exponent(lengths: Sequence[int], taken: Sequence[float], fitted: int) -> str:
    pairs = [(length, each) for length, each in zip(lengths, taken, strict=True) if length >= fitted]
    if len(pairs) < 2:
        return "-"
    return f"S^{np.polyfit(*np.log(np.array(pairs)).T, 1)[0]:.2f}"


def networks(asked: argparse.Namespace) -> None:
    made = models(asked.dim, max(asked.lengths))
    for name, model in made.items():
        check(model, name)
    sizes = ", ".join(f"{name} {parameters(model):,}" for name, model in made.items())
    print(f"width {asked.dim}, {LAYERS} layers, {HEADS} heads, one sequence; parameters: {sizes}")
    print(
        "tokens a second; in brackets times the transformer; peak MiB of a forward pass and of a training step"
    )
    found: dict[tuple[str, str], list[float]] = {(kind, name): [] for kind in PASSES for name in made}
    for length in asked.lengths:
        memory = {name: peaks(name, length, asked.dim) for name in made} if length in asked.peaks else {}
        for kind in PASSES:
            taken = milliseconds(
                {name: step(each, length, kind) for name, each in made.items()}, asked.rounds
            )
            cells = []
            for name, each in taken.items():
                found[kind, name].append(each)
                peak = f"{memory[name][kind] / 2**20:6.0f} MiB" if memory else " " * 10
                times = taken["transformer"] / each
                cells.append(f"{name} {1e3 * length / each:8,.0f} ({times:4.2f} x) {peak}")
            print(f"{length:>6} {kind:<9} " + "   ".join(cells), flush=True)
    for (kind, name), taken in found.items():
        print(f"  {kind:<9} {name:<16} grows as {exponent(asked.lengths, taken, asked.fitted)}")


def free() -> int:
    """Bytes of memory that this machine could still give."""
    rows = Path("/proc/meminfo").read_text().splitlines()
    return next(1024 * int(row.split()[1]) for row in rows if row.startswith("MemAvailable"))


def fits(length: int, width: int, kind: str) -> bool:
    """Whether dense matrices of a pass, six of them with their gradients, take at most half of what is free."""
    return 4 * length * width**2 * (6 if kind == "training" else 4) <= free() / 2


def composition(asked: argparse.Namespace) -> None:
    made = layers(asked.dim)
    check_layers(made, asked.dim)
    print(f"one layer of width {asked.dim}, {PATTERNS} patterns: milliseconds; MiB at the peak")
    for kind in PASSES:
        for length in asked.lengths:
            if not fits(length, asked.dim, kind):
                need = 4 * length * asked.dim**2 / GIB
                print(f"{length:>6} {kind:<9} dense: matrices of {need:.1f} GiB each do not fit")
                continue
            steps = {name: layer_step(each, length, asked.dim, kind) for name, each in made.items()}
            taken = milliseconds(steps, asked.dense_rounds)
            memory = (
                {name: peaks(name, length, asked.dim)[kind] for name in made} if length in asked.peaks else {}
            )
            cells = [
                f"{name} {each:8.1f} ms" + (f" {memory[name] / 2**20:6.0f} MiB" if memory else "")
                for name, each in taken.items()
            ]
            print(
                f"{length:>6} {kind:<9} {'   '.join(cells)}   {taken['dense'] / taken['flow layer']:6.1f} x",
                flush=True,
            )


def numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",") if each]


def main(words: Sequence[str] | None = None) -> None:
    """Check, measure, print."""
    parser = argparse.ArgumentParser(description="what flow costs as sequences grow")
    parser.add_argument("--lengths", type=numbers, default=[128, 256, 512, 1024, 2048, 4096])
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dense-rounds", type=int, default=2)
    parser.add_argument(
        "--fitted", type=int, default=512, help="the shortest length that growth is fitted to"
    )
    parser.add_argument(
        "--peaks", type=numbers, default=None, help="lengths of which memory is measured; all"
    )
    asked = parser.parse_args(words)
    asked.peaks = asked.lengths if asked.peaks is None else asked.peaks
    torch.set_num_threads(1)
    networks(asked)
    composition(asked)


if __name__ == "__main__":
    main()
