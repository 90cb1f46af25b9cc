"""exp, log and cos(pi x) in fixed arithmetic: the same bits wherever products and sums are IEEE 754.

The C library's and NumPy's own choose their code by the processor, and differ in the last bit between two of them.
What decides births, deaths and parents must not, so here are a reduction of the argument and a polynomial, each
operation rounded by itself. The error is under 3 units in the last place.

Source: Cody & Waite 1980, "Software Manual for the Elementary Functions"; the two parts of ln 2 are fdlibm's.
"""

import math
from typing import TypeVar

import numpy as np
from jaxtyping import Float64

_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10  # the first ends in zero bits
_PI_LOW = 1.2246467991473532e-16  # pi - math.pi
_LOWEST, _HIGHEST = -800.0, 709.0  # exp is 0 below, and above it is over a float's range
_EXP = tuple(1 / math.factorial(n) for n in range(14))
_LOG = tuple(2 / (2 * n + 1) for n in range(13))  # of 2 artanh(s) / s in s^2
_SIN = tuple((-1) ** n / math.factorial(2 * n + 1) for n in range(12))  # of sin(t) / t in t^2

Number = TypeVar("Number", float, np.ndarray)


def exp(x: float) -> float:
    """Return e to the power of x; x above 709 counts as 709."""
    clipped = min(max(x, _LOWEST), _HIGHEST)
    whole = round(clipped / math.log(2))
    return math.ldexp(_polynomial(_EXP, (clipped - whole * _LN2_HIGH) - whole * _LN2_LOW), whole)


def exp_each(x: Float64[np.ndarray, "*n"]) -> Float64[np.ndarray, "*n"]:
    """Return `exp` of each element, with the same bits."""
    clipped = np.clip(x, _LOWEST, _HIGHEST)
    whole = np.rint(clipped / math.log(2))
    rest = (clipped - whole * _LN2_HIGH) - whole * _LN2_LOW
    return np.ldexp(_polynomial(_EXP, rest), whole.astype(np.int32))


def log(x: float) -> float:
    """Return the natural logarithm of x > 0."""
    mantissa, exponent = math.frexp(x)
    if mantissa < math.sqrt(0.5):  # it shall lie about 1
        mantissa, exponent = 2 * mantissa, exponent - 1
    s = (mantissa - 1) / (mantissa + 1)
    return exponent * _LN2_HIGH + (s * _polynomial(_LOG, s * s) + exponent * _LN2_LOW)


def cos_pi(x: float) -> float:
    """Return cos(pi x) for x in [0, 1]."""
    turn = 0.5 - x  # cos(pi x) = sin(pi / 2 - pi x)
    t = turn * math.pi + turn * _PI_LOW
    return t * _polynomial(_SIN, t * t)


def power(base: float, exponent: float) -> float:
    """Return base ** exponent for a base above 0."""
    return exp(exponent * log(base))


def _polynomial(coefficients: tuple[float, ...], x: Number) -> Number:
    """Return the polynomial with these coefficients, the constant one first, by Horner's rule."""
    value = coefficients[-1] + 0.0 * x
    for coefficient in coefficients[-2::-1]:
        value = value * x + coefficient
    return value
