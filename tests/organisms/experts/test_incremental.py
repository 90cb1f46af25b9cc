import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from organisms.experts.config import BlockConfig, ModelConfig, MoEConfig, RouterConfig
from organisms.experts.incremental import new_caches
from organisms.experts.models import MoELanguageModel, MoESequenceRegressor
from organisms.layers.config import AttentionConfig, ExpertConfig
from organisms.layers.key_values import Reading
from tests.fixtures.exact_rows import exact_rows
from tests.organisms.layers.definitions import drawn

WIDTH, V, F, LONGEST, SLOTS = 16, 11, 3, 80, 6

KINDS = {
    "experts": {},
    "grouped queries": {"attention": {"n_kv_heads": 2}},
    "one key head, biases": {"attention": {"n_kv_heads": 1, "bias": True}},
    "positions by nothing": {"attention": {"rope": False}},
    "yarn": {"attention": {"rope_scaling": "yarn", "rope_factor": 4.0, "rope_trained": 16}},
    "ntk": {"attention": {"rope_scaling": "ntk", "rope_factor": 4.0}},
    "linear, some coordinates": {
        "attention": {"rope_scaling": "linear", "rope_factor": 4.0, "rotary_dim": 2}
    },
    "dense": {"feed_forward": "dense"},
    "capacity": {"router": {"capacity": "causal", "capacity_factor": 0.5}},
    "noise and dropout": {"router": {"noise_type": "gumbel", "noise_std": 1.0}, "dropout": 0.5},
    "layer norm": {"use_rms_norm": False},
    "shared experts and sigmoids": {"router": {"router_type": "bias", "n_shared": 1}},
    "sinkhorn": {"router": {"router_type": "sinkhorn", "n_experts": 5, "k": 3, "temperature": 0.5}},
    "one expert": {"router": {"k": 1}},
    "gelu": {"expert": {"activation": "gelu", "bias": False}},
}


def config(*, router=None, attention=None, expert=None, **given):
    moe = MoEConfig(
        d_model=WIDTH,
        router=RouterConfig(**{"n_experts": 4, "init_scale": 2.0} | (router or {})),
        expert=ExpertConfig(**{"d_hidden": 12} | (expert or {})),
    )
    block = BlockConfig(moe=moe, attention=AttentionConfig(n_heads=4, **(attention or {})), **given)
    return ModelConfig(n_layers=2, n_inputs=F, vocab_size=V, block=block)


def model(kind, continuous=False, dtype=torch.float64):
    made = (MoESequenceRegressor if continuous else MoELanguageModel)(
        config(**KINDS[kind]), torch.Generator().manual_seed(0)
    )
    for parameter in made.parameters():
        if parameter.ndim == 1:
            parameter.data = 1 + drawn(len(parameter), seed=3, dtype=torch.float32) / 4
    return made.to(dtype).eval()


def tokens(count, continuous, seed, dtype=torch.float64):
    if continuous:
        return drawn(count, F, seed=seed, dtype=dtype)
    return torch.randint(V, (count,), generator=torch.Generator().manual_seed(seed))


@st.composite
def courses(draw):
    """Lengths of sequences, their places, and which of them read how many tokens at each step."""
    lengths = draw(st.lists(st.integers(1, LONGEST), min_size=1, max_size=4))
    slots = draw(st.permutations(range(SLOTS)))[: len(lengths)]
    left, steps = list(lengths), []
    while any(left):
        counts = [draw(st.sampled_from([0, 1, 2, 30, 70])) for _ in lengths]
        counts = [min(count, rest) for count, rest in zip(counts, left, strict=True)]
        if not any(counts):
            counts = left.copy()
        left = [rest - count for rest, count in zip(left, counts, strict=True)]
        steps.append(counts)
    return lengths, slots, steps


def read(module, sequences, slots, steps):
    """What comes after each of the tokens that end a step, by sequence and length."""
    caches, at, found = new_caches(module, SLOTS), [0] * len(sequences), {}
    for counts in steps:
        own = [number for number, count in enumerate(counts) if count]
        reading = Reading(
            tuple(slots[each] for each in own),
            tuple(at[each] for each in own),
            tuple(counts[each] for each in own),
        )
        new = torch.cat([sequences[each][at[each] : at[each] + counts[each]] for each in own])
        for each, row in zip(own, module.extended(new, reading, caches), strict=True):
            at[each] += counts[each]
            found[each, at[each]] = row
    return found


@pytest.mark.parametrize("continuous", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_what_was_kept_and_the_next_tokens_come_to_the_same_as_all_tokens(kind, continuous):
    module = model(kind, continuous)
    sequences = [tokens(length, continuous, length) for length in (1, 40, 90)]
    steps = [[1, 30, 0], [0, 1, 70], [0, 1, 1], [0, 1, 1], [0, 7, 18]]
    found = read(module, sequences, [4, 1, 2], steps)
    assert len(found) == 1 + 5 + 4
    for (each, length), row in found.items():
        whole = module(sequences[each][None])[0][0]
        torch.testing.assert_close(row, whole[length - 1], rtol=0, atol=1e-12)


@given(courses(), st.sampled_from(["experts", "grouped queries", "dense"]), st.booleans())
@torch.no_grad()
def test_any_course_of_reading_comes_to_the_same(course, kind, continuous):
    lengths, slots, steps = course
    module = model(kind, continuous)
    sequences = [tokens(length, continuous, number) for number, length in enumerate(lengths)]
    found = read(module, sequences, slots, steps)
    for each, sequence in enumerate(sequences):
        whole = module(sequence[None])[0][0]
        torch.testing.assert_close(found[each, len(sequence)], whole[-1], rtol=0, atol=1e-12)


@exact_rows
@given(courses(), st.sampled_from(["experts", "grouped queries", "dense"]), st.booleans())
@torch.no_grad()
def test_in_float32_no_bit_depends_on_the_company_or_the_course(course, kind, continuous):
    lengths, slots, steps = course
    module = model(kind, continuous, torch.float32)
    sequences = [tokens(length, continuous, number, torch.float32) for number, length in enumerate(lengths)]
    found = read(module, sequences, slots, steps)
    for each, sequence in enumerate(sequences):
        at_once = read(module, [sequence], [0], [[len(sequence)]])
        assert torch.equal(found[each, len(sequence)], at_once[0, len(sequence)])
        whole = module(sequence[None])[0][0]  # by the faster of two products, which rounds otherwise
        torch.testing.assert_close(found[each, len(sequence)], whole[-1], rtol=0, atol=2e-5)


def other(**given):
    return MoESequenceRegressor(config(**given), torch.Generator().manual_seed(0)).eval()


def test_a_model_whose_tokens_depend_on_others_is_refused():
    for options, told in (
        ({"attention": {"causal": False}}, "its attention is not causal"),
        ({"router": {"router_type": "expert_choice"}}, "its experts are not chosen by each token alone"),
        ({"router": {"force_balanced": True}}, "its experts are not chosen by each token alone"),
        (
            {"router": {"router_type": "organisms.experts.routing.topk:TopKRouter"}},
            "its router organisms.experts.routing.topk:TopKRouter may look at other tokens",
        ),
    ):
        with pytest.raises(ValueError, match=f"cannot read token by token: {told}"):
            new_caches(other(**options), 1)


def test_layers_refuse_what_their_options_forbid():
    blocks = other(attention={"causal": False}).blocks
    reading, x = Reading((0,), (0,), (1,)), torch.ones(1, WIDTH)
    with pytest.raises(ValueError, match="attention must be causal to be extended"):
        blocks.extended(x, reading, blocks.new_caches(1))
    balanced = other(router={"force_balanced": True}).blocks.blocks[0].feed_forward
    with pytest.raises(ValueError, match="must depend on it alone, but TopKRouter looks at other tokens too"):
        balanced.each(x)
    with pytest.raises(ValueError, match="logits of a router must be finite"):
        other().blocks.blocks[0].feed_forward.router.decided(x * torch.nan)
