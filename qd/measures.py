"""The built-in measures of a component's behaviour, and how raw values map to the unit cube.

The archive measures distance, so the measures must share one unit: each is mapped to [0, 1] by a range
that calibration finds once and the run keeps.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64
from numpy.typing import ArrayLike

MEASURES = (
    "attention_span",
    "activation_sparsity",
    "gradient_flow",
    "access_locality",
    "compute_intensity",
)
FEWEST_MEASURES, MOST_MEASURES = 2, 8  # of a run, of which any may be the user's
QUANTILES = (0.01, 0.99)
WIDENING = 0.25  # of the distance between the quantiles, both sides together
FEWEST_VALUES = 8


@dataclass(frozen=True, slots=True)
class Description:
    """The meaning and the unit of a measure, for axes and reports."""

    text: str
    unit: str


DESCRIPTIONS: Mapping[str, Description] = {
    "attention_span": Description("mean distance that is bridged", "share of the largest distance"),
    "activation_sparsity": Description("activations below a tenth of their RMS", "share"),
    "gradient_flow": Description("gate gradient in the hosts", "log10 nats"),
    "access_locality": Description(
        "spread of the positions that are read or answered", "share of the largest"
    ),
    "compute_intensity": Description("arithmetic per memory traffic", "log2 FLOP/byte"),
    "attention_entropy": Description("how undecided attention or routing is", "share of the largest"),
    "attention_sharpness": Description("largest weight of a query, or weight in a token's mixture", "share"),
    "neighbour_coherence": Description(
        "likeness of where it acts to where the host's parts do", "mean cosine"
    ),
    "effective_rank": Description("directions that are written to", "directions"),
    "coherence": Description("likeness of which tokens it writes to the host's parts", "mean cosine"),
    "correlation": Description("likeness of what it writes to each of the host's parts", "mean correlation"),
    "write_strength": Description("size of what is written against the stream's", "log10 share"),
    "write_likeness": Description("likeness of what it writes to what the host's parts write", "cosine"),
    "write_constancy": Description("what is written whatever the example", "share of its power"),
    "served_share": Description("examples whose loss falls", "share"),
    "effect_evenness": Description("how evenly examples are affected", "share"),
    "effect_curvature": Description("effect on the loss beyond first order", "share"),
    "effect_depth": Description("effect on the loss through later layers", "share"),
}


def short_name(measure: str) -> str:
    """Return the name of a measure: of an import path ``package.module:name`` the part after the colon."""
    return measure.rpartition(":")[2]


@dataclass(frozen=True, slots=True)
class Ranges:
    """Maps raw measures to the unit cube: ``(raw - low) / (high - low)``, clipped to [0, 1].

    Parameters
    ----------
    low, high
        Raw values that become 0 and 1, one per measure of the run, in its order and unit.

    Raises
    ------
    ValueError
        If the two are not of one length, or a range is not finite and of positive width.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "low", tuple(float(value) for value in self.low))
        object.__setattr__(self, "high", tuple(float(value) for value in self.high))
        if not len(self.low) == len(self.high) > 0:
            raise ValueError(
                "low and high must each have one value per measure, "
                f"got {len(self.low)} and {len(self.high)} values"
            )
        for index, (low, high) in enumerate(zip(self.low, self.high, strict=True)):
            if not (low < high and math.isfinite(high - low)):
                raise ValueError(
                    f"the range of {self._name(index)} must be finite with low < high, got ({low}, {high}); "
                    "a measure that is constant needs an analytic range or must be replaced"
                )

    def _name(self, index: int) -> str:
        return f"measure {index + 1} of {len(self.low)}"

    def behaviour(self, raw: Sequence[float]) -> tuple[tuple[float, ...], tuple[bool, ...]]:
        """Return one component's place in the unit cube, from its raw measures.

        Parameters
        ----------
        raw
            One raw value per measure, in the order of the ranges.

        Returns
        -------
        The behaviour in the unit cube, clipped, and which measures had to be clipped.

        Raises
        ------
        ValueError
            If there are more or fewer values than ranges, or one is not finite.
        """
        if len(raw) != len(self.low):
            raise ValueError(f"raw must have {len(self.low)} measures, got {len(raw)}")
        for index, value in enumerate(raw):
            if not math.isfinite(value):
                raise ValueError(
                    f"{self._name(index)} must be finite to have a place in the archive, got {value}"
                )
        triples = tuple(zip(raw, self.low, self.high, strict=True))
        unit = tuple(min(max((value - low) / (high - low), 0.0), 1.0) for value, low, high in triples)
        return unit, tuple(not low <= value <= high for value, low, high in triples)

    def behaviours(self, samples: ArrayLike) -> tuple[Float64[np.ndarray, "n p"], Bool[np.ndarray, "n p"]]:
        """Return many components' places in the unit cube at once; the same as `behaviour` row by row.

        Parameters
        ----------
        samples
            Raw measures [n, p], p in the order of the ranges.

        Returns
        -------
        Behaviours [n, p] in the unit cube, clipped, and which values [n, p] had to be clipped.

        Raises
        ------
        ValueError
            If the array is not [n, p] or not finite.
        """
        checked = _checked(samples, [self._name(index) for index in range(len(self.low))])
        low, high = np.array(self.low), np.array(self.high)
        with np.errstate(over="ignore"):  # a raw value far outside overflows to infinity and is clipped
            unit = np.clip((checked - low) / (high - low), 0.0, 1.0)
        return unit, (checked < low) | (checked > high)


def ranges_from_samples(
    samples: ArrayLike, analytic: Mapping[str, tuple[float, float]], names: Sequence[str] = MEASURES
) -> Ranges:
    """Return the ranges of measures: analytic where there is one, else quantiles of the samples, widened.

    ``low, high = q01 - w, q99 + w`` with ``w = (q99 - q01) * 0.25 / 2``: the range is wider than the
    quantiles by a quarter in all, so that components can leave the calibrated region a little.

    Parameters
    ----------
    samples
        Raw measures [n, p] of calibration's organisms, in the order and units of `names`.
    analytic
        Known (low, high) by the name of a measure; its samples are then not used.
    names
        Names of the p measures.

    Raises
    ------
    ValueError
        If the samples are not [n, p] or not finite, a name is unknown, or a measure without an
        analytic range is constant.
    """
    checked = _checked(samples, names)
    for name in analytic:
        if name not in names:
            raise ValueError(f"no measure is called {name!r}; the measures are {', '.join(names)}")
    low, high = np.quantile(checked, QUANTILES, axis=0)
    margin = (high - low) * WIDENING / 2
    found = zip(names, (low - margin).tolist(), (high + margin).tolist(), strict=True)
    pairs = [analytic.get(name, (bottom, top)) for name, bottom, top in found]
    for name, (bottom, top) in zip(names, pairs, strict=True):
        if not bottom < top:
            raise ValueError(
                f"{name} is {bottom} for nearly all components; a measure that is constant needs an analytic "
                "range or must be replaced"
            )
    return Ranges(tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs))


def _checked(samples: ArrayLike, names: Sequence[str]) -> Float64[np.ndarray, "n p"]:
    checked = np.asarray(samples, dtype=np.float64)
    if checked.ndim != 2 or checked.shape[1] != len(names) or len(checked) == 0:
        raise ValueError(f"samples must be [n, {len(names)}] with n >= 1, got shape {checked.shape}")
    for name, column in zip(names, checked.T, strict=True):
        if not np.isfinite(column).all():
            row = int(np.flatnonzero(~np.isfinite(column))[0])
            raise ValueError(f"samples must be finite, but {name} is {column[row]} in row {row}")
    return checked
