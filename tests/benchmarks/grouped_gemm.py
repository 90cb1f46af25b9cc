"""A layer of experts on sorted rows, against padded ``bmm`` and one-hot dispatch.

Each of 4,096 tokens goes to two of E experts, D -> H -> D with a ReLU between; what an expert answers is
weighted by its gate and added up. No way drops a token, so the capacity of the two others is the load of the
busiest expert. Dispatch and combination are part of what is timed. "even": experts drawn at random; "uneven":
the last expert is liked exp(1.5) times as much as the first. fp32, one thread, settings of runs. Results and
gradients are compared first; then all are timed in turn, by the time of the thread, and medians count.

    PYTHONPATH=. python tests/benchmarks/grouped_gemm.py
"""

import statistics
import time
from itertools import product

from runs.machine.settings import prepare

prepare()

import torch  # threads are set before torch loads
from torch import Tensor
from torch.nn import functional as F

from kernels.grouped_gemm import grouped_gemm

TOKENS, CHOICES, WIDTH, HIDDEN = 4096, 2, 128, 512
REPEATS, SLOW = 15, 5  # one-hot takes its turn in every SLOW-th round only
# N tokens, k choices of each, M = N k rows, E experts, C rows that each expert has room for.


def sorted_rows(x: Tensor, w1: Tensor, w2: Tensor, experts: Tensor, gates: Tensor) -> Tensor:
    """Sort the choices by expert, multiply group by group, and go back to the order of the tokens."""
    order_M = torch.sort(experts.flatten(), stable=True).indices
    offsets_E = torch.bincount(experts.flatten(), minlength=len(w1)).cumsum(0)
    rows_MD = x.index_select(0, order_M // CHOICES)
    answers_MD = grouped_gemm(F.relu(grouped_gemm(rows_MD, w1, offsets_E)), w2, offsets_E)
    place_M = torch.empty_like(order_M)
    place_M[order_M] = torch.arange(len(order_M))
    return combined(answers_MD.index_select(0, place_M), gates)


def padded(x: Tensor, w1: Tensor, w2: Tensor, experts: Tensor, gates: Tensor) -> Tensor:
    """Give each expert as many rows as the busiest one has, and multiply all by ``bmm``."""
    order_M = torch.sort(experts.flatten(), stable=True).indices
    loads_E = torch.bincount(experts.flatten(), minlength=len(w1))
    capacity, starts_E = int(loads_E.max()), loads_E.cumsum(0) - loads_E
    expert_M = experts.flatten()[order_M]
    slot_M = expert_M * capacity + torch.arange(len(order_M)) - starts_E[expert_M]
    rows_ECD = x.new_zeros(len(w1) * capacity, WIDTH).index_copy(
        0, slot_M, x.index_select(0, order_M // CHOICES)
    )
    answers_ECD = torch.bmm(F.relu(torch.bmm(rows_ECD.view(len(w1), capacity, WIDTH), w1)), w2)
    place_M = torch.empty_like(order_M)
    place_M[order_M] = slot_M
    return combined(answers_ECD.view(-1, WIDTH).index_select(0, place_M), gates)


def combined(answers_MD: Tensor, gates: Tensor) -> Tensor:
    """Add up the answers to each token, weighted by its gates."""
    return (answers_MD.view(TOKENS, CHOICES, WIDTH) * gates[:, :, None]).sum(1)


def one_hot(x: Tensor, w1: Tensor, w2: Tensor, experts: Tensor, gates: Tensor) -> Tensor:
    """Dispatch and combine by products with an [E, C, N] tensor (GShard, Lepikhin et al. 2020)."""
    chosen_ME = F.one_hot(experts.flatten(), len(w1))
    place_M = ((chosen_ME.cumsum(0) - 1) * chosen_ME).sum(1)
    capacity = int(chosen_ME.sum(0).max())
    where = (experts.flatten(), place_M, torch.arange(TOKENS).repeat_interleave(CHOICES))
    empty_ECN = x.new_zeros(len(w1), capacity, TOKENS)
    dispatch_ECN = empty_ECN.index_put(where, x.new_ones(()))
    combine_ECN = empty_ECN.index_put(where, gates.flatten())
    rows_ECD = torch.einsum("ecn,nd->ecd", dispatch_ECN, x)
    answers_ECD = torch.bmm(F.relu(torch.bmm(rows_ECD, w1)), w2)
    return torch.einsum("ecn,ecd->nd", combine_ECN, answers_ECD)


WAYS = {"sorted rows": sorted_rows, "padded bmm": padded, "one-hot": one_hot}


def drawn(groups: int, preference: float) -> tuple[list[Tensor], Tensor, Tensor]:
    """Draw what needs gradients (x, w1, w2, gates), the experts of each token, and a gradient of the result."""
    stream = torch.Generator().manual_seed(0)
    shapes = ((TOKENS, WIDTH), (groups, WIDTH, HIDDEN), (groups, HIDDEN, WIDTH))
    x, w1, w2 = (torch.randn(shape, generator=stream) / shape[-2] ** 0.5 for shape in shapes)
    noise = -torch.empty(TOKENS, groups).exponential_(generator=stream).log()  # Gumbel: top k of a softmax
    scores, experts = (noise + torch.linspace(0, preference, groups)).topk(CHOICES)
    leaves = [each.requires_grad_() for each in (x, w1, w2, torch.softmax(scores, -1))]
    return leaves, experts, torch.randn(TOKENS, WIDTH, generator=stream)


def results(way, leaves: list[Tensor], experts: Tensor, grad: Tensor) -> tuple[Tensor, ...]:
    """Do a forward and a backward pass."""
    x, w1, w2, gates = leaves
    y = way(x, w1, w2, experts, gates)
    return y.detach(), *torch.autograd.grad(y, leaves, grad)


def forward(way, leaves: list[Tensor], experts: Tensor, _: Tensor) -> Tensor:
    """Do a forward pass alone."""
    x, w1, w2, gates = leaves
    with torch.no_grad():
        return way(x, w1, w2, experts, gates)


def milliseconds(function, *given) -> float:
    start = time.thread_time()
    function(*given)
    return (time.thread_time() - start) * 1e3


def timed(step, inputs) -> list[float]:
    """Time the ways in turn; give the median of each."""
    times = {way: [] for way in WAYS.values()}
    for turn in range(REPEATS):
        for way in WAYS.values():
            if way is not one_hot or turn % SLOW == 0:
                times[way].append(milliseconds(step, way, *inputs))
    return [statistics.median(each) for each in times.values()]


def main() -> None:
    sizes = f"{TOKENS} tokens, {CHOICES} experts each, {WIDTH} -> {HIDDEN} -> {WIDTH}"
    print(f"{sizes}, {torch.get_num_threads()} thread")
    print("  E  routing  busiest  pass                sorted rows   padded bmm          one-hot")
    for groups, (routing, preference) in product((8, 16), (("even", 0.0), ("uneven", 1.5))):
        inputs = drawn(groups, preference)
        wanted = results(sorted_rows, *inputs)
        for way in (padded, one_hot):
            torch.testing.assert_close(results(way, *inputs), wanted, rtol=1e-3, atol=1e-4)
        busiest = int(torch.bincount(inputs[1].flatten()).max()) * groups / (TOKENS * CHOICES)
        for name, step in (("forward", forward), ("forward + backward", results)):
            ours, bmm, hot = timed(step, inputs)
            print(
                f"{groups:>3}  {routing:<7}  {busiest:>5.2f} x  {name:<18}  {ours:>8.1f} ms"
                f"  {bmm:>6.1f} ms {bmm / ours:>4.2f} x  {hot:>7.1f} ms {hot / ours:>5.1f} x",
                flush=True,
            )


if __name__ == "__main__":
    main()
