"""The functions that decisions use: right to a few units in the last place, and the same bits everywhere."""

import json
import math
import os
import subprocess
import sys
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qd.canonical import sha256
from qd.elementary import cos_pi, exp, exp_each, log, power

DIGITS = 60
PINNED = "275b1130680a576e8c6f76c90daf22cadb522439760bc5eed901492c80783b4e"


def units(value, exact):
    """The error in units of the last place."""
    with localcontext(prec=DIGITS):
        return abs(Decimal(value) - exact) / Decimal(math.ulp(float(exact)))


def cosine(x):
    """cos(pi x) by its series, to 50 digits."""
    with localcontext(prec=DIGITS):
        pi = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")
        t = pi * Decimal(x)
        term = total = Decimal(1)
        for n in range(1, 40):
            term *= -t * t / ((2 * n - 1) * (2 * n))
            total += term
        return total


@given(st.floats(-700, 700))
def test_exp_is_right(x):
    with localcontext(prec=DIGITS):
        assert units(exp(x), Decimal(x).exp()) < 3


@given(st.floats(1e-300, 1e300) | st.floats(0.5, 2))
def test_log_is_right(x):
    with localcontext(prec=DIGITS):
        assert log(x) == 0 if x == 1 else units(log(x), Decimal(x).ln()) < 3


@given(st.floats(0, 1))
def test_cos_pi_is_right(x):
    exact = cosine(x)
    assert abs(Decimal(cos_pi(x)) - exact) < Decimal(3) * Decimal(math.ulp(max(abs(float(exact)), 1e-2)))


@given(st.floats(1e-6, 1.0), st.floats(0, 10))
def test_power_is_right(base, exponent):
    assert power(base, exponent) == pytest.approx(base**exponent, rel=1e-13)


@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=9))
def test_arrays_have_the_bits_of_numbers(values):
    assert exp_each(np.array(values)).tolist() == [exp(value) for value in values]


def test_ends():
    assert [exp(0.0), exp(-math.inf), exp(-750.0), log(1.0)] == [1.0, 0.0, 0.0, 0.0]
    assert [cos_pi(0.0), cos_pi(0.5), cos_pi(1.0)] == [1.0, 0.0, -1.0]
    assert exp_each(np.array([-math.inf, 0.0])).tolist() == [0.0, 1.0]
    assert exp(1e9) == exp(709.0) < math.inf


def test_the_bits_are_pinned():
    """They are part of every run's digest: a change of them is a change of behaviour."""
    points = [n / 64 for n in range(-640, 641)]
    values = (
        [exp(x) for x in points]
        + [log(abs(x) + 0.01) for x in points]
        + [cos_pi(n / 640) for n in range(641)]
    )
    assert sha256(json.dumps([value.hex() for value in values]).encode()) == PINNED


DECIDING = """
import json
import numpy as np
from qd.lifecycle.annealing import make, metropolis
from qd.elementary import exp_each
from qd.genes import GeneRange
draws = np.random.default_rng(0).random(3000)
schedules = [make(kind, 0.5, 0.01, 3000) for kind in ("linear", "geometric", "cosine")]
gene = GeneRange(0.25, 4.0, log=True)
values = [schedule(step) for schedule in schedules for step in range(3000)]
values += [metropolis(x, 0.3) for x in draws.tolist()] + [gene.between(0.3, 3.0, x) for x in draws.tolist()]
print(json.dumps([value.hex() for value in values + exp_each(draws / 0.2).tolist()]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the variable is of the GNU C library")
def test_what_decides_does_not_depend_on_how_the_c_library_computes():
    plain = {**os.environ, "PYTHONPATH": os.getcwd()}
    without = plain | {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4,-AVX512F"}
    told = [
        subprocess.run(
            [sys.executable, "-c", DECIDING], env=env, capture_output=True, text=True, check=True
        ).stdout
        for env in (plain, without)
    ]
    assert told[0] == told[1]
