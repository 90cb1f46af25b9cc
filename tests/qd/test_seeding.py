import hashlib
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qd.seeding import generator, happens, torch_seed, uniform

KEYS = (st.integers(0, 2**63 - 1), st.integers(0, 10**9), st.text(max_size=20))


@pytest.mark.parametrize(
    ("key", "value"),
    [((0, 0, "init"), 0.31259122489452945), ((7, 100, "birth:abc"), 0.02277551055209631)],
)
def test_published_values(key, value):
    assert uniform(*key) == value


@given(*KEYS)
def test_is_the_head_of_the_hash(seed, step, context):
    head = hashlib.sha256(f"{seed}:{step}:{context}".encode()).hexdigest()[:16]
    assert uniform(seed, step, context) == int(head, 16) / (2**64 - 1)
    assert torch_seed(seed, step, context) == int(head, 16) // 2


@given(*KEYS)
def test_equal_names_give_equal_streams(seed, step, context):
    first, second = generator(seed, step, context), generator(seed, step, context)
    assert first.bit_generator.state == second.bit_generator.state
    assert 0 <= torch_seed(seed, step, context) < 2**63


def test_draws_are_uniform():
    draws = [uniform(1, step, f"cull:0.{step}.3") for step in range(4000)]
    counts = np.histogram(draws, bins=20, range=(0, 1))[0]
    chi_square = ((counts - 200) ** 2 / 200).sum()
    assert chi_square < 43.8  # 0.1 % point of chi-square with 19 degrees of freedom


def test_another_seed_step_or_context_is_another_stream():
    states = {
        generator(*key).bit_generator.state["state"]["state"]
        for key in [(0, 0, "a"), (1, 0, "a"), (0, 1, "a"), (0, 0, "b")]
    }
    assert len(states) == 4


def test_no_hash_seed_enters():
    program = "from qd.seeding import uniform, torch_seed; print(uniform(3, 4, 'x'), torch_seed(3, 4, 'x'))"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert outputs == {f"{uniform(3, 4, 'x')} {torch_seed(3, 4, 'x')}\n"}


@pytest.mark.parametrize(
    ("probability", "draw", "expected"),
    [(1.0, 1.0, True), (0.0, 0.0, False), (0.5, 0.5, False), (0.5, math.nextafter(0.5, 0), True)],
)
def test_happens_at_the_edges(probability, draw, expected):
    assert happens(probability, draw) is expected
