"""SlimeMoldEncoder without a lifecycle against nn.TransformerEncoder of equal width and heads, with the same weights.

S tokens a sequence, so many sequences that there are 4,096 tokens; with and without causality, forward (eval, no
gradients: torch's fast path) and training (forward and backward, dropout 0). Outputs are compared first; then both
are timed in turn, and medians of the CPU time on one thread count. Then a `SlimeModel` reads the same tokens as a
stream, whole and chunk by chunk, in tokens per second, and trains on 10,000 chunks without leaving anything behind.
Last, `evolve` is set against the step of training that it
follows: in most steps, in those that end a round with births and a cull, and in the mean over rounds of 100 steps. On a
CUDA device also in bf16 there, by the clock, but for the last two.

    PYTHONPATH=. python tests/benchmarks/slime.py [--tokens 4096] [--width 512] [--layers 2] [--repeats 9]
"""

import argparse
import gc
import statistics
import time
from collections.abc import Callable
from functools import partial

from runs.machine.settings import prepare

prepare()

import torch  # threads are set before torch loads
from torch import Tensor, nn

from organisms.pseudopods import (
    EvolutionConfig,
    PoolConfig,
    SlimeModel,
    SlimeMoldEncoder,
    from_transformer_encoder,
)

LENGTHS, HEADS, CHUNK = (128, 1024), 8, 64


def torch_encoder(width: int, layers: int) -> nn.TransformerEncoder:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(width, HEADS, 4 * width, dropout=0.0, batch_first=True)
    return nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)


def forward(encoder: nn.Module, src: Tensor, masks: dict[str, object]) -> Tensor:
    with torch.no_grad():
        return encoder(src, **masks)


def training(encoder: nn.Module, src: Tensor, masks: dict[str, object]) -> None:
    encoder.zero_grad()
    encoder(src, **masks).square().mean().backward()


def medians(functions: list[Callable[[], object]], repeats: int, cuda: bool) -> list[float]:
    """Milliseconds of each, in turn: of this thread, or by the clock where another device computes."""
    times: list[list[float]] = [[] for _ in functions]
    clock = time.perf_counter if cuda else time.thread_time
    for _ in range(repeats + 1):
        for function, taken in zip(functions, times, strict=True):
            if cuda:
                torch.cuda.synchronize()
            start = clock()
            function()
            if cuda:
                torch.cuda.synchronize()
            taken.append(1e3 * (clock() - start))
    return [statistics.median(taken[1:]) for taken in times]  # the first time is for warming up


def compared(theirs: nn.Module, src: Tensor, causal: bool, repeats: int) -> None:
    S = src.shape[1]
    masks: dict[str, object] = {}
    if causal:
        hidden = torch.ones(S, S, dtype=torch.bool, device=src.device).triu(1)
        masks = {"mask": hidden, "is_causal": True}
    ours: SlimeMoldEncoder = from_transformer_encoder(theirs)
    error, bound = (forward(ours, src, masks) - forward(theirs, src, masks)).abs().max(), 0.1
    if src.dtype == torch.float32:
        bound = 1e-4
    assert error < bound, error
    cells = []
    for way, train in ((forward, False), (training, True)):
        both = [partial(way, encoder.train(train), src, masks) for encoder in (theirs, ours)]
        torchs, own = medians(both, repeats, src.is_cuda)
        cells.append(f"{torchs:9.2f} {own:9.2f} {own / torchs:6.2f}")
    print(f"  S {S:5d}  causal {causal!s:5s}  {'   '.join(cells)}   {error:.0e}")


def streamed(width: int, layers: int, tokens: int, repeats: int) -> None:
    model = SlimeModel(width, width, width, width // HEADS, num_layers=layers, block=CHUNK).eval()
    x = torch.randn(1, tokens, width, generator=torch.Generator().manual_seed(0))

    def chunk_by_chunk() -> Tensor:
        state, read = None, []
        for chunk in x.split(CHUNK, 1):
            y, state = model(chunk, state, return_state=True)
            read.append(y)
        return torch.cat(read, 1)

    with torch.no_grad():
        torch.testing.assert_close(chunk_by_chunk(), model(x), atol=1e-3, rtol=1e-3)
        whole, cut = medians([partial(model, x), chunk_by_chunk], repeats, False)
    print(f"stream of {tokens} tokens in one call, and in chunks of {CHUNK}: tokens per second")
    print(f"  {1e3 * tokens / whole:9,.0f} {1e3 * tokens / cut:9,.0f}")


def alive() -> tuple[int, int]:
    """Tensors that are there, and their bytes; the list of them is gone afterwards, or it would keep them."""
    gc.collect()
    found = [each for each in gc.get_objects() if issubclass(type(each), torch.Tensor)]
    return len(found), sum(each.nbytes for each in found)


def remembered(chunks: int = 10_000, every: int = 2_000) -> None:
    """A small stateful model trains chunk by chunk; what is alive after some of them is alive after all."""
    model = SlimeModel(8, 16, 8, 8, block=4, stateful=True)
    optimizer, generator = torch.optim.SGD(model.parameters(), 1e-3), torch.Generator().manual_seed(0)
    print("chunks of a stream that a model has trained on; tensors alive, and their bytes")
    counts = []
    for chunk in range(1, chunks + 1):
        model(torch.randn(2, 4, 8, generator=generator)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        if chunk % every == 0:
            counts.append(alive())
            print(f"  {chunk:9,d} {counts[-1][0]:9,d} {counts[-1][1]:9,d}")
    assert len(set(counts)) == 1


def evolved(width: int, layers: int, tokens: int, repeats: int) -> None:
    length = min(LENGTHS[0], tokens)
    x = torch.randn(tokens // length, length, width, generator=torch.Generator().manual_seed(0))
    often = EvolutionConfig(
        steps=repeats + 3, births_every=1, culls_every=1, rise=1, warmup=0.0, gentle=0.0, quiet=0.0, min_age=1
    )
    costs = []
    for config in (EvolutionConfig(births_every=10**6, culls_every=10**6), often):
        pool = PoolConfig(slots=HEADS + 2)
        encoder = SlimeMoldEncoder(
            width, HEADS, 4 * width, 0.0, batch_first=True, num_layers=layers, pool=pool
        )
        optimizer = torch.optim.AdamW(encoder.parameters())
        encoder.evolves(optimizer, config)

        def step(encoder: SlimeMoldEncoder = encoder, optimizer: torch.optim.Optimizer = optimizer) -> None:
            optimizer.zero_grad()
            encoder(x, is_causal=True).square().mean().backward()
            optimizer.step()

        costs.append(medians([step, partial(encoder.evolve, 1.0)], repeats, False))
    assert len(encoder.history()) == repeats + 1
    (training_step, most), (_, ending) = costs
    mean = (99 * most + ending) / 100
    print(
        "a step of training, evolve in most steps, at the end of a round: milliseconds; mean share of a step"
    )
    print(f"  {training_step:9.2f} {most:9.3f} {ending:9.2f} {100 * mean / training_step:8.2f} %")


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, default in (("tokens", 4096), ("width", 512), ("layers", 2), ("repeats", 9)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    torch.set_num_threads(1)
    places = [("cpu", torch.float32)] + ([("cuda", torch.bfloat16)] if torch.cuda.is_available() else [])
    for device, dtype in places:
        theirs = torch_encoder(given.width, given.layers).to(device, dtype)
        print(
            f"{device}, {dtype}, width {given.width}, {HEADS} heads, {given.layers} layers: milliseconds of torch's,"
        )
        print("of ours, and ours by torch's, forward, then training; largest difference of outputs")
        for length in LENGTHS:
            length = min(length, given.tokens)
            src = torch.randn(given.tokens // length, length, given.width).to(device, dtype)
            for causal in (False, True):
                compared(theirs, src, causal, given.repeats)
    streamed(given.width, given.layers, given.tokens, given.repeats)
    remembered()
    evolved(given.width, given.layers, given.tokens, given.repeats)


if __name__ == "__main__":
    main()
