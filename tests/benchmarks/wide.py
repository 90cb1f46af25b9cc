"""Every strategy of a WideRouter against its towers called one by one, eager and compiled.

The documents' tower: two residual feed-forward blocks of expansion 2 and a norm. Answers and gradients are checked
first. Then the ways take turns, and medians count: of the thread's own time on one CPU thread, of synchronised time on
a GPU. Printed are microseconds per tower, of each way how many times faster than one by one it is, and how much longer
than the best way AUTO takes, by its clock and by the rule that it goes by in deterministic mode, as in runs.

Compiling the loop takes most of a minute a line, so it is done for the first of --rows, and for few towers unless
--compiled asks for more. What would begin after --seconds is named, not measured.

    PYTHONPATH=. python tests/benchmarks/wide.py [--towers 4,8,16,32] [--dim 64,256] [--rows 16,32x64] [--compiled 8]
"""

import argparse
import math
import os
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

from runs.machine.settings import prepare

prepare()

import torch  # MKL reads its settings once
from torch import Tensor, nn

from organisms.towers import ExecutionStrategy, WideRouter
from organisms.towers.wide.strategy import by_size
from tests.organisms.towers.blocks import SimpleTower

ONE_BY_ONE, COMPILED = "one by one", "compiled"
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
BUDGET, FEWEST, MOST = 0.5, 3, 51  # seconds of the passes of one line, and how many they are
SLOW = 4.0  # seconds of a round after which one is enough
PROOFS = {"vmap": 2, "wide_compiler": 2, "auto": 3}  # passes until a way computes by itself
TOLERANCE = 1e-5  # relative to the largest number, float32
DOCUMENTED = {
    4: 265,
    8: 237,
    16: 248,
    32: 227,
}  # us per tower on the documents' GPU, 32 x 64 rows of 256, forward

Pass = Callable[[], Sequence[Tensor]]


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured in one line."""

    towers: int
    dim: int
    rows: tuple[int, ...]
    backward: bool

    def __str__(self) -> str:
        rows = "x".join(map(str, self.rows))
        return f"{self.towers:>6} {self.dim:>4} {rows:>6}  {'both' if self.backward else 'forward':<7}"


class OneByOne(nn.Module):
    """Towers in a plain loop."""

    def __init__(self, towers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.towers = nn.ModuleList(towers)

    def forward(self, x: Tensor) -> list[Tensor]:
        return [tower(x) for tower in self.towers]


class Collective(WideRouter):
    """Towers computed by a strategy."""

    def forward(self, x: Tensor) -> list[Tensor]:
        return list(self.wide_forward(x).values())


def towers(case: Case) -> list[SimpleTower]:
    """The towers of a case, with the same numbers whenever they are made."""
    torch.manual_seed(0)
    return [SimpleTower(f"tower_{n}", case.dim) for n in range(case.towers)]


def ways(case: Case, compiled: bool) -> dict[str, nn.Module]:
    """One by one, every strategy, and the compiled loop if it is asked for."""
    made: dict[str, nn.Module] = {ONE_BY_ONE: OneByOne(towers(case))}
    for strategy in ExecutionStrategy:
        router = Collective("wide", execution_strategy=strategy)
        for each in towers(case):
            router.attach(each.name, each)
        made[strategy.value] = router
    if compiled:
        made[COMPILED] = torch.compile(OneByOne(towers(case)))  # type: ignore[assignment]
    return {name: each.to(DEVICE) for name, each in made.items()}


def run(model: nn.Module, x: Tensor, change: Tensor, backward: bool) -> list[Tensor]:
    """One pass: opinions, and gradients where they are wanted."""
    if not backward:
        with torch.no_grad():
            return model(x)
    opinions = model(x)
    torch.autograd.backward(opinions, [change] * len(opinions))
    return opinions


def check(case: Case, models: dict[str, nn.Module], x: Tensor, change: Tensor) -> None:
    """Refuse to measure what is wrong; after this, each way has been proven, chosen, stacked or compiled."""
    found = {}
    for name, model in models.items():
        for _ in range(PROOFS.get(name, 1)):
            model.zero_grad()
            opinions = run(model, x, change, case.backward)
        grads = [each.grad for each in model.parameters()] if case.backward else []
        found[name] = [each.detach() for each in (*opinions, *grads)]
    for name, each in found.items():
        used = models[name].get_wide_stats()["groups"][0] if isinstance(models[name], Collective) else {}
        assert name == "auto" or used.get("used", name) == name, (
            f"{name} is not used in {case}: {used['reasons']}"
        )
        for ours, wanted in zip(each, found[ONE_BY_ONE], strict=True):
            error = float((ours - wanted).abs().max() / wanted.abs().max())
            assert error < TOLERANCE, f"{name} is wrong by {error:.0e} in {case}"


def seconds() -> float:
    """A clock: this thread's own on a CPU, where others use the machine too."""
    if DEVICE.type == "cpu":
        return time.thread_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def measured(case: Case, compiled: bool) -> tuple[dict[str, float], str]:
    """Median seconds of each way, in turn, and what AUTO has chosen."""
    source = torch.Generator().manual_seed(0)
    x, change = (torch.randn((*case.rows, case.dim), generator=source).to(DEVICE) for _ in range(2))
    models = ways(case, compiled)
    check(case, models, x, change)
    times: dict[str, list[float]] = {name: [] for name in models}
    begin, done = time.perf_counter(), 0
    while not enough(done, time.perf_counter() - begin):
        done += 1
        turns = list(models.items())
        for name, model in turns if done % 2 else reversed(turns):  # who comes next finds caches warm
            model.zero_grad()
            start = seconds()
            run(model, x, change, case.backward)
            times[name].append(seconds() - start)
    auto = models[ExecutionStrategy.AUTO.value]
    assert isinstance(auto, Collective), "it was made above"
    return {name: statistics.median(each) for name, each in times.items()}, auto.get_wide_stats()["groups"][
        0
    ]["used"]


def enough(rounds: int, spent: float) -> bool:
    """Whether the passes of a line have taken turns often enough."""
    return rounds == MOST or (spent > BUDGET and rounds >= FEWEST) or (spent > SLOW and rounds > 0)


def line(case: Case, found: dict[str, float], chosen: str) -> str:
    """A line of the table."""
    base = found[ONE_BY_ONE]
    rates = [f"{base / found[name]:>14.2f}" if name in found else f"{'-':>14}" for name in columns()]
    best = min(each for name, each in found.items() if name != COMPILED)
    auto = found[ExecutionStrategy.AUTO.value]
    rule = found[by_size(math.prod(case.rows) * case.dim, DEVICE.type).value]
    cost = f"{1e6 * base / case.towers:>10.0f} {1e6 * auto / case.towers:>8.0f}"
    documented = DOCUMENTED.get(case.towers, 0)
    if (
        DEVICE.type == "cuda"
        and documented
        and not case.backward
        and (case.dim, case.rows) == (256, (32, 64))
    ):
        chosen += f", the documents' {documented}"
    return f"{case} {cost} {''.join(rates)} {auto / best:>6.2f} {rule / best:>6.2f}  {chosen}"


def columns() -> list[str]:
    return [*(each.value for each in ExecutionStrategy), COMPILED]


def compiler() -> bool:
    """Whether there is what `torch.compile` needs."""
    return any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "clang++"))


def numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",") if each]


def shapes(text: str) -> list[tuple[int, ...]]:
    return [tuple(int(each) for each in rows.split("x")) for rows in text.split(",")]


def main() -> None:
    """Check, measure, print."""
    parser = argparse.ArgumentParser(description="what strategies of wide routers cost")
    parser.add_argument("--towers", type=numbers, default=[4, 8, 16, 32])
    parser.add_argument("--dim", type=numbers, default=[64, 256])
    parser.add_argument("--rows", type=shapes, default=[(16,), (32, 64)], help="such as 16,32x64")
    parser.add_argument(
        "--compiled", type=numbers, default=[8], help="for how many towers the loop is compiled"
    )
    parser.add_argument("--seconds", type=float, default=170, help="after which no line is begun")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(False)  # else no clock decides
    if asked.compiled and not compiler():
        print("there is no C++ compiler, so nothing is compiled")
        asked.compiled = []
    print(
        f"on {DEVICE}; microseconds per tower one by one and by AUTO; times faster than one by one; to the best way"
    )
    heads = "".join(f"{name:>14}" for name in columns())
    what = f"{'towers':>6} {'dim':>4} {'rows':>6}  {'passes':<7}"
    print(f"{what} {'one by one':>10} {'auto':>8} {heads} {'auto':>6} {'rule':>6}  chosen")
    begin, left = time.monotonic(), []
    for rows, dim, number, backward in product(asked.rows, asked.dim, asked.towers, (False, True)):
        case = Case(number, dim, rows, backward)
        if time.monotonic() - begin > asked.seconds:
            left.append(str(case))
            continue
        torch.compiler.reset()
        compiled = number in asked.compiled and rows == asked.rows[0]
        print(line(case, *measured(case, compiled)), flush=True)
    if left:
        print("\n".join(["out of time for", *left]))


if __name__ == "__main__":
    main()
