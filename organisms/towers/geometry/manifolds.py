"""Where an address can lie: Euclidean space, the unit sphere, and the Poincare ball of curvature -1.

All functions are of float tensors [..., F] and broadcast over the leading axes. Distances are written so that they are
exact to rounding where textbooks' forms are not: for points that nearly coincide, for antipodes, and near the rim.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor
from torch.linalg import vector_norm


@dataclass(frozen=True, slots=True)
class Geometry:
    """A space of fingerprints.

    Parameters
    ----------
    name
        What messages call it.
    rule
        What a fingerprint must be, in the words of a message.
    point
        From coordinates, any finite numbers [..., F], to a point of the space.
    coordinates
        From a point to coordinates that lead to it.
    inside
        Whether coordinates or points are such that `point` or `coordinates` takes them, bool [...].
    distance
        From two points to the length of the shortest way between them, [...].
    similarity
        From two points to a number that is 1 where they coincide and falls with their distance, [...].
    """

    name: str
    rule: str
    point: Callable[[Tensor], Tensor]
    coordinates: Callable[[Tensor], Tensor]
    inside: Callable[[Tensor], Tensor]
    distance: Callable[[Tensor, Tensor], Tensor]
    similarity: Callable[[Tensor, Tensor], Tensor]


def euclidean_distance(u: Float[Tensor, "*a F"], v: Float[Tensor, "*b F"]) -> Float[Tensor, "*c"]:
    """Return |u - v|, in [0, inf)."""
    return vector_norm(u - v, dim=-1)


def spherical_distance(u: Float[Tensor, "*a F"], v: Float[Tensor, "*b F"]) -> Float[Tensor, "*c"]:
    """Return the angle 2 atan2(|u - v|, |u + v|) between unit vectors, in [0, pi] rad.

    The arc cosine of u . v loses half of the digits near 0 and pi, and its gradient is infinite there; this one is 0
    for equal points and for antipodes, where no direction is the shortest.

    References
    ----------
    Kahan 2006, How futile are mindless assessments of roundoff in floating-point computation, section 12.
    """
    return 2 * torch.atan2(vector_norm(u - v, dim=-1), vector_norm(u + v, dim=-1))


def hyperbolic_distance(u: Float[Tensor, "*a F"], v: Float[Tensor, "*b F"]) -> Float[Tensor, "*c"]:
    """Return 2 asinh(|u - v| / sqrt((1 - |u|^2) (1 - |v|^2))) between points of the open unit ball, in [0, inf).

    It equals arcosh(1 + 2 |u - v|^2 / ((1 - |u|^2) (1 - |v|^2))), which is 0 in float32 for points that are closer
    than 2e-4.

    Raises
    ------
    ValueError
        If a point lies on the rim or outside, from where no way of finite length leads inside.

    References
    ----------
    Nickel and Kiela 2017, Poincare embeddings for learning hierarchical representations, equation 1.
    """
    margins = [_margin(each) for each in (u, v)]
    return 2 * torch.asinh(vector_norm(u - v, dim=-1) / (margins[0] * margins[1]).sqrt())


def on_sphere(coordinates: Float[Tensor, "*a F"]) -> Float[Tensor, "*a F"]:
    """Return the direction x / |x| of coordinates that are not all zero."""
    return coordinates / vector_norm(coordinates, dim=-1, keepdim=True)


def into_ball(coordinates: Float[Tensor, "*a F"]) -> Float[Tensor, "*a F"]:
    """Return x = tanh(|v| / 2) v / |v|, the point at distance |v| from the centre in the direction of v.

    It is the exponential map at the centre for the metric 4 dx^2 / (1 - |x|^2)^2. Within 8 units of rounding of the rim
    it stops, so that distances stay finite: that is at a distance of 14.6 from the centre in float32, of 34.7 in
    float64.
    """
    length, is_zero = _length(coordinates)
    rim = 1 - 8 * torch.finfo(coordinates.dtype).eps
    scale = (length / 2).tanh().clamp(max=rim) / length
    return coordinates * torch.where(is_zero, 0.5, scale)


def out_of_ball(point: Float[Tensor, "*a F"]) -> Float[Tensor, "*a F"]:
    """Return v = 2 artanh(|x|) x / |x|, which `into_ball` takes back to x."""
    length, is_zero = _length(point)
    return point * torch.where(is_zero, 2.0, 2 * length.atanh() / length)


def _length(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Return |v|, or 1 with True where v = 0, so that no gradient is divided by zero."""
    squares = vectors.square().sum(-1, keepdim=True)
    is_zero = squares == 0
    return torch.where(is_zero, 1.0, squares).sqrt(), is_zero


def _margin(point: Tensor) -> Tensor:
    length = vector_norm(point, dim=-1)
    if not bool((length < 1).all()):
        raise ValueError(
            f"points of the Poincare ball must be shorter than 1, but one has length {length.max().item():.6g}: "
            "divide them by more than the largest, or make them of coordinates by into_ball"
        )
    return (1 - length) * (1 + length)


def _finite(vectors: Tensor) -> Tensor:
    return vector_norm(vectors, dim=-1).isfinite()


def _decay(distance: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda u, v: (-distance(u, v)).exp()


GEOMETRIES: Mapping[str, Geometry] = MappingProxyType(
    {
        "euclidean": Geometry(
            "euclidean",
            "finite numbers",
            point=lambda v: v,
            coordinates=lambda x: x,
            inside=_finite,
            distance=euclidean_distance,
            similarity=_decay(euclidean_distance),
        ),
        "spherical": Geometry(
            "spherical",
            "finite numbers that are not all zero, whose direction is the point",
            point=on_sphere,
            coordinates=lambda x: x,
            inside=lambda x: _finite(x) & (vector_norm(x, dim=-1) > 0),
            distance=spherical_distance,
            similarity=lambda u, v: (u * v).sum(-1),
        ),
        "hyperbolic": Geometry(
            "hyperbolic",
            "a point of length below 1, inside the Poincare ball",
            point=into_ball,
            coordinates=out_of_ball,
            inside=lambda x: vector_norm(x, dim=-1) < 1,
            distance=hyperbolic_distance,
            similarity=_decay(hyperbolic_distance),
        ),
    }
)
