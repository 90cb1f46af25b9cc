"""Blends: where between a and b one is at t.

Each is a function of a and b [..., D] and t in [0, 1], [..., 1], which broadcast. At t = 0 all are at a, at t = 1 at b,
and all are the same way walked backwards: blend(a, b, t) = blend(b, a, 1 - t). The documents name slip, shiva, zeus and
gilgamesh and do not define them: these equations are ours.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor
from torch.linalg import vector_norm
from torch.nn import functional as F

from organisms.towers.geometry.manifolds import spherical_distance

Blend: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]

FARTHEST = (
    10.0  # difference of magnitudes from which on zeus sees no more difference: e^10 is finite in float16
)


def lerp(
    a: Float[Tensor, "*a D"], b: Float[Tensor, "*b D"], t: Float[Tensor, "*t K"]
) -> Float[Tensor, "*c D"]:
    """Return (1 - t) a + t b, the chord.

    Parameters
    ----------
    a, b
        Where the way begins and ends, [..., D].
    t
        Share of the way, [..., 1], or of each number by itself, [..., D].
    """
    return (1 - t) * a + t * b


def slerp(
    a: Float[Tensor, "*a D"], b: Float[Tensor, "*b D"], t: Float[Tensor, "*t 1"]
) -> Float[Tensor, "*c D"]:
    """Return ((1 - t) |a| + t |b|) (sin((1 - t) w) u + sin(t w) v) / sin w, the arc, for directions u, v at angle w.

    The direction turns evenly, the length grows evenly. Where no arc is the shortest, because one length is 0 or the
    directions are opposite, it is `lerp`.

    Parameters
    ----------
    a, b, t
        As of `lerp`.

    References
    ----------
    Shoemake 1985, Animating rotation with quaternion curves, section 3.3, for unit vectors.
    """
    lengths = [vector_norm(each, dim=-1, keepdim=True) for each in (a, b)]
    u, v = (each / torch.where(length > 0, length, 1) for each, length in zip((a, b), lengths, strict=True))
    turns = spherical_distance(u, v).unsqueeze(-1) / math.pi
    whole = torch.sinc(turns)  # sin(w) / w, which is 1 for equal directions and 0 for opposite ones
    arc = (lengths[0] > 0) & (lengths[1] > 0) & (whole > torch.finfo(a.dtype).eps ** 0.5)
    whole = torch.where(arc, whole, 1)
    first, second = ((share * torch.sinc(share * turns)) / whole for share in (1 - t, t))
    turned = lerp(lengths[0], lengths[1], t) * (first * u + second * v)
    return torch.where(arc, turned, lerp(a, b, t))


def slip(
    a: Float[Tensor, "*a D"], b: Float[Tensor, "*b D"], t: Float[Tensor, "*t 1"]
) -> Float[Tensor, "*c D"]:
    """Return lerp + sin^2(pi t) (slerp - lerp): it leaves and arrives along the chord, and halfway is on the arc.

    Parameters
    ----------
    a, b, t
        As of `lerp`.
    """
    chord = lerp(a, b, t)
    return chord + (math.pi * t).sin().square() * (slerp(a, b, t) - chord)


def shiva(
    a: Float[Tensor, "*a D"], b: Float[Tensor, "*b D"], t: Float[Tensor, "*t 1"]
) -> Float[Tensor, "*c D"]:
    """Return lerp (1 - sin^2(pi t) (1 - c) / 2) for the cosine c of a and b: what disagrees is destroyed on the way.

    Opinions of one direction are on the chord; halfway between opposite ones there is nothing, before b is created.

    Parameters
    ----------
    a, b, t
        As of `lerp`.
    """
    disagreement = (1 - F.cosine_similarity(a, b, dim=-1).unsqueeze(-1)) / 2
    return lerp(a, b, t) * (1 - (math.pi * t).sin().square() * disagreement)


def zeus(
    a: Float[Tensor, "*a D"], b: Float[Tensor, "*b D"], t: Float[Tensor, "*t 1"]
) -> Float[Tensor, "*c D"]:
    """Return (1 - s) a + s b with s / (1 - s) = e^(|b_i| - |a_i|) t / (1 - t): the mightier number rules longer.

    Every number lies between those of a and b. Differences of magnitudes beyond 10 count as 10.

    Parameters
    ----------
    a, b, t
        As of `lerp`.
    """
    odds = (a.abs() - b.abs()).clamp(-FARTHEST, FARTHEST).exp()
    return lerp(a, b, t / (t + (1 - t) * odds))


def gilgamesh(
    a: Float[Tensor, "*a D"], b: Float[Tensor, "*b D"], t: Float[Tensor, "*t 1"]
) -> Float[Tensor, "*c D"]:
    """Return (1 - t)^2 a + 2 t (1 - t) c + t^2 b, a journey by way of c, which has the larger number of both.

    c_i is a_i or b_i, whichever is larger in magnitude, and their mean where both are equally large. It is Bezier's
    curve of degree 2: the way leaves a towards c and arrives at b from c, and every number lies between those of a and
    b.

    Parameters
    ----------
    a, b, t
        As of `lerp`.
    """
    difference = a.abs() - b.abs()
    companion = torch.where(difference > 0, a, torch.where(difference < 0, b, (a + b) / 2))
    return lerp(lerp(a, companion, t), lerp(companion, b, t), t)


BLENDS: Mapping[str, Blend] = MappingProxyType(
    {each.__name__: each for each in (lerp, slerp, slip, shiva, zeus, gilgamesh)}
)
