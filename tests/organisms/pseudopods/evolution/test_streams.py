"""Models of streams evolve in the user's loop too, and processes of a data-parallel training agree on it."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from kernels.kernel import AUTO, Visible
from organisms.pseudopods import EvolutionConfig, Organism, PoolConfig, SlimeModel, TubeRules
from tests.organisms.pseudopods.evolution.loop import QUICK

TUBES = TubeRules(decay=0.9, capacity=4)


def organism():
    pool = PoolConfig(slots=4, rank=(2, 3, 1), width=(2, 1, 3), max_rank=4, max_width=4)
    return Organism(8, 3, 2, 8, block=3, tubes=TUBES, pool=pool)


def slime():
    return SlimeModel(8, 8, 8, 4, num_layers=2, dim_feedforward=8, block=3, tubes=TUBES, slots=4)


def output_of(model, x):
    found = model(x)
    return found[0] if isinstance(found, tuple) else found


def trained(model, steps=60):
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    model.evolves(optimizer, EvolutionConfig(**QUICK))
    for step in range(steps):
        x = torch.randn(4, 10, 8, generator=torch.Generator().manual_seed(step))
        loss = (output_of(model, x) - x.cumsum(1)).square().mean()
        loss.backward()
        optimizer.step()
        model.evolve(loss)
        optimizer.zero_grad()
    return model


@pytest.mark.parametrize("make", [organism, slime])
def test_their_heads_are_born_and_die_the_same_way_each_time(make):
    model, again = trained(make()), trained(make())
    decisions = model.history("decisions")
    happened = decisions[decisions["happens"].astype(bool)]
    assert set(happened["kind"]) == {"birth", "death"}
    assert again.history("decisions").equals(decisions)
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    assert model.archive_summary()["filled"] > 1
    layers = model.layers if make is organism else model.organism.layers
    living = [4 * depth + slot for depth, each in enumerate(layers) for slot in each.pseudopods.living()]
    assert living == sorted(model.evolution.population.occupants)


def test_what_is_measured_is_what_a_head_sees_of_the_last_two_blocks():
    """Without tubes, heads write what they write where they see just that."""
    model = organism()
    layer = model.layers[0]
    layer.pseudopods.watched = True
    x = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))
    model(x)
    h, visible = layer.pseudopods.seen
    torch.testing.assert_close(h, layer.norm1(x))
    found = layer.pseudopods.attended(h, Visible(bias=visible.bias), AUTO)
    scores = layer.pseudopods.queries(h) @ layer.pseudopods.keys(h).mT
    distance = torch.arange(6)[:, None] - torch.arange(6)
    bias = (-F.softplus(layer.slope)[:, None, None] * distance).masked_fill(distance < 0, -torch.inf)
    wanted = (scores + bias).softmax(-1) @ layer.pseudopods.values(h)
    torch.testing.assert_close(found, wanted)


def test_of_a_long_chunk_two_blocks_are_kept():
    model = organism()
    model.layers[0].pseudopods.watched = True
    model(torch.randn(1, 50, 8))
    h, visible = model.layers[0].pseudopods.seen
    assert h.shape == (1, 6, 8)
    assert visible.bias.shape == (4, 6, 6)
    hidden = visible.bias[0].isneginf()
    # Tokens 44 to 49 are of the blocks 14, 15 and 16: the last sees its own and the one before.
    assert hidden[-1].tolist() == [True, False, False, False, False, False]


TOGETHER = """
import sys, torch
from pathlib import Path
from torch import distributed as dist, nn
from torch.nn.parallel import DistributedDataParallel
from tests.organisms.pseudopods.evolution.loop import D, QUICK, encoder
from organisms.pseudopods import EvolutionConfig

rank, folder = int(sys.argv[1]), Path(sys.argv[2])
dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
model = encoder()
parallel = DistributedDataParallel(model)
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
model.evolves(optimizer, EvolutionConfig(**QUICK))
losses = []
for step in range(40):
    x = torch.randn(4, 6, D, generator=torch.Generator().manual_seed(2 * step + rank))
    loss = (parallel(x, is_causal=True) - x.cumsum(1)).square().mean() * (1 + rank)
    loss.backward()
    optimizer.step()
    model.evolve(loss)
    optimizer.zero_grad()
    losses.append(loss.item())
decisions = model.history("decisions")
assert decisions["happens"].astype(bool).any()
decisions.to_csv(folder / f"{rank}.csv")
rounds = torch.tensor(model.history()["mean_loss"].to_numpy())
torch.save({"model": model.state_dict(), "losses": torch.tensor(losses), "rounds": rounds}, folder / f"{rank}.pt")
dist.destroy_process_group()
"""


@pytest.mark.long
def test_processes_of_a_data_parallel_training_agree(tmp_path):
    root = Path(__file__).parents[4]
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", TOGETHER, str(rank), str(tmp_path)],
            cwd=root,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    told = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], told
    first, second = ((tmp_path / f"{rank}.csv").read_text() for rank in range(2))
    assert first == second
    kept = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    assert all(torch.equal(value, kept[1]["model"][name]) for name, value in kept[0]["model"].items())
    both = torch.stack([each["losses"] for each in kept])
    wanted = both.mean(0).unflatten(0, (-1, QUICK["births_every"])).mean(1)
    for each in kept:
        torch.testing.assert_close(each["rounds"], wanted.double(), rtol=1e-5, atol=1e-6)
