import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from organisms.layers.rotary import SCALINGS, RoPE
from tests.organisms.layers.definitions import drawn

R, LONG, TRAINED, FACTOR = 8, 50, 512, 4.0
every_scaling = pytest.mark.parametrize("scaling", SCALINGS)


def rope(scaling="none"):
    return RoPE(R, 1000.0, scaling, FACTOR, TRAINED)


def published(scaling):
    """The frequencies by the papers' formulas, a number at a time, and YaRN's factor of both q and k."""
    base = 1000.0
    found = []
    for i in range(R // 2):
        theta = base ** (-2 * i / R)
        if scaling == "linear":
            theta = theta / FACTOR
        if scaling == "ntk":
            theta = (base * FACTOR ** (R / (R - 2))) ** (-2 * i / R)
        if scaling == "yarn":
            wavelength = 2 * math.pi / theta
            ratio = TRAINED / wavelength
            gamma = 0.0 if ratio < 1 else 1.0 if ratio > 32 else (ratio - 1) / (32 - 1)
            theta = (1 - gamma) * theta / FACTOR + gamma * theta
        found.append(theta)
    return found, 0.1 * math.log(FACTOR) + 1 if scaling == "yarn" else 1.0


@every_scaling
def test_it_is_a_rotation_of_complex_numbers(scaling):
    x, (thetas, size) = drawn(2, 3, LONG, R), published(scaling)
    numbers = torch.complex(x[..., : R // 2], x[..., R // 2 :])
    angles = torch.arange(LONG, dtype=torch.float64)[:, None] * torch.tensor(thetas, dtype=torch.float64)
    wanted = numbers * torch.polar(torch.full_like(angles, size), angles)
    found = rope(scaling).rotated(x)
    torch.testing.assert_close(found, torch.cat([wanted.real, wanted.imag], -1))


@every_scaling
@given(st.integers(0, 3000), st.integers(0, 3000), st.integers(0, 100_000))
def test_a_product_depends_on_the_distance_alone(scaling, first, second, shift):
    q, k = drawn(1, R), drawn(1, R, seed=1)

    def product(by):
        here, there = (torch.tensor([float(p + by)]) for p in (first, second))
        return rope(scaling).rotated(q, here) @ rope(scaling).rotated(k, there).T

    torch.testing.assert_close(product(shift), product(0), rtol=1e-8, atol=1e-8)


def test_interpolation_reads_a_longer_text_at_the_positions_of_the_trained_one():
    x = drawn(LONG, R)
    closer = torch.arange(LONG) / FACTOR
    plain = RoPE(R, 1000.0)
    torch.testing.assert_close(rope("linear").rotated(x), plain.rotated(x, closer))


def test_a_raised_base_keeps_the_highest_frequency_and_divides_the_lowest_by_the_factor():
    plain, raised = rope().frequencies(), rope("ntk").frequencies()
    assert raised[0] == plain[0]
    torch.testing.assert_close(raised[-1], plain[-1] / FACTOR)


def test_yarn_keeps_high_frequencies_and_divides_those_of_less_than_one_rotation():
    wide = {"width": 64, "base": 10_000.0, "trained": TRAINED}
    plain, yarn = (
        RoPE(**wide).frequencies(),
        RoPE(scaling="yarn", factor=FACTOR, **wide).frequencies(),
    )
    rotations = TRAINED * plain / (2 * math.pi)
    assert torch.equal(yarn[rotations >= 32], plain[rotations >= 32])
    torch.testing.assert_close(yarn[rotations <= 1], plain[rotations <= 1] / FACTOR)
    assert bool((yarn.diff() < 0).all())


@every_scaling
def test_a_factor_of_one_changes_nothing(scaling):
    x = drawn(LONG, R)
    torch.testing.assert_close(RoPE(R, scaling=scaling).rotated(x), RoPE(R).rotated(x))


def test_what_lies_beyond_the_width_stays():
    x = drawn(LONG, R + 3)
    found = rope().rotated(x)
    assert torch.equal(found[:, R:], x[:, R:])
    torch.testing.assert_close(found[:, :R], rope().rotated(x[:, :R]))


def test_far_positions_are_rotated_as_exactly_as_near_ones():
    x, far = drawn(1, R, dtype=torch.float32), 2**24 + 1  # which float32 does not know
    numbers = torch.complex(x[..., : R // 2].double(), x[..., R // 2 :].double())
    angles = far * torch.tensor(published("none")[0], dtype=torch.float64)
    wanted = numbers * torch.polar(torch.ones_like(angles), angles)
    found = rope().rotated(x, torch.tensor([far])).double()
    torch.testing.assert_close(found, torch.cat([wanted.real, wanted.imag], -1), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"width": 7}, r"width of none rotary positions must be even and at least 2, .* but is 7; choose"),
        ({"width": 0}, r"must be even and at least 2, .* but is 0"),
        (
            {"width": 2, "scaling": "ntk"},
            r"width of ntk rotary positions must be even and at least 4, .* is 2",
        ),
        ({"width": 8, "scaling": "yarm"}, r"scaling is 'yarm', but must be one of .*; did you mean 'yarn'"),
        ({"width": 8, "factor": 0.5}, r"factor must be finite and at least 1, but is 0.5"),
        ({"width": 8, "factor": math.inf}, r"factor must be finite and at least 1, but is inf"),
        ({"width": 8, "trained": 0}, r"trained must be finite and at least 1, but is 0"),
        ({"width": 8, "base": 1.0}, r"base must be finite and over 1, but is 1.0"),
        ({"width": 8, "base": math.nan}, r"base must be finite and over 1, but is nan"),
    ],
)
def test_what_cannot_be_rotated_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        RoPE(**given)


@every_scaling
def test_queries_and_keys_are_rotated_alike_whatever_their_number_of_heads(scaling):
    q, k, far = drawn(2, 4, LONG, R), drawn(2, 1, LONG, R, seed=1), torch.arange(LONG) + 7
    for positions in (None, far):
        found = rope(scaling)(q, k, positions)
        for each, x in zip(found, (q, k), strict=True):
            assert torch.equal(each, rope(scaling).rotated(x, positions))


def test_it_has_no_parameters_and_prints_its_settings():
    assert not rope().state_dict()
    assert repr(RoPE(8)) == "RoPE(width=8, base=10000.0, scaling='none', factor=1.0, trained=2048)"
