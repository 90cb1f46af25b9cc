"""Variation operators on genomes: Gaussian noise around an elite, a step along the line between two, fresh draws.

A pseudopod computes ``softmax(h W_qk h^T temperature / sqrt(rank)) h W_ov`` with the products
``W_qk = U_qk V_qk`` and ``W_ov = U_ov V_ov``. Any invertible ``G`` leaves ``(U G)(G^-1 V)`` alone, so two
heads can compute the same thing with factors that have nothing in common: factors of different heads
must not be mixed, products may be (they are the QK and OV circuits of Elhage et al., "A mathematical
framework for transformer circuits", 2021).

Arrays go in and come out as float32; all work between is done in float64 and rounded once.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from qd.elementary import exp_each
from qd.genes import GeneRange, GeneSpace, crossed, random_genes, redrawn
from qd.lowrank import refactored
from qd.records import Genes, Genome

__all__ = [
    "Align",
    "GeneRange",
    "GeneSpace",
    "Resize",
    "factored",
    "gaussian",
    "line",
    "mixed",
    "norm_matched",
    "random_genes",
    "rescaled",
    "resize",
    "scaled",
]

Resize = Callable[[Genome, Genes], Genome]
Align = Callable[[Genome, Genome], Genome]
Arrays = dict[str, np.ndarray]

GROWTH = 0.1  # size of a grown column of U against the others


def gaussian(
    genome: Genome, sigma: float, gene_rate: float, space: GeneSpace, resize: Resize, rng: np.random.Generator
) -> Genome:
    """Gaussian mutation of one elite: re-draw some structural genes, resize the arrays to them, add noise.

    ``A' = A + sigma rms(A) N(0, 1)`` for each array (each factor of a pair by itself).

    Parameters
    ----------
    genome
        The elite.
    sigma
        Size of the noise relative to the root mean square of each array.
    gene_rate
        Probability of each gene of `space` to be drawn afresh.
    space
        The genes that may change; others are kept.
    resize
        Fits the arrays to new genes, for example `resize` with its last arguments bound.
    rng
        A named generator (`qd.seeding.generator`).

    Raises
    ------
    ValueError
        If `sigma` is negative or not finite, `gene_rate` not in [0, 1], or a gene of `space` is missing.
    """
    _check_sigmas(sigma=sigma)
    genes = redrawn(genome.genes, gene_rate, space, rng)
    return _noisy(resize(genome, genes), sigma, rng)


def line(
    first: Genome,
    second: Genome,
    sigma: float,
    line_sigma: float,
    gene_rate: float,
    space: GeneSpace,
    rng: np.random.Generator,
    ranks: Mapping[str, str],
    fit: Resize = lambda genome, genes: genome,
    align: Align = lambda genome, like: genome,
) -> Genome:
    """Iso+line on products: vary one elite along the line to another, and by Gaussian noise.

    ``W = W_1 + l (W_2 - W_1)`` with one ``l ~ N(0, line_sigma)`` for the whole genome, where ``W`` is the
    product of a factored matrix (kept as factors, at the rank that the child's genes say) or a dense array;
    then noise as in `gaussian`. Each gene comes from the first parent, from the second or from a random
    point between them, a third each, and is then drawn afresh with probability `gene_rate`.

    Parameters
    ----------
    first, second
        The elite that is varied, and the one whose direction is taken.
    sigma, gene_rate, space, rng
        As in `gaussian`.
    line_sigma
        Standard deviation of the step along the line, as a share of the distance between the parents.
    ranks
        The gene that sets the inner size of each factored matrix; one that is not named keeps the first
        parent's.
    fit
        Gives either parent the outer sizes that the child's genes ask for, where genes set any.
    align
        ``align(second, first)``, then: the second in that of its equivalent forms which is nearest to the first,
        for families whose products have more than one.

    Raises
    ------
    ValueError
        As `gaussian` and `resize`, and if the parents differ in family, depth, arrays or outer shapes.

    Source: Vassiliades & Mouret, "Discovering the elite hypervolume by leveraging interspecies correlation",
    GECCO 2018. Differs from the source: products are mixed, not parameters, and the noise is relative.
    """
    _check_sigmas(sigma=sigma, line_sigma=line_sigma)
    step = line_sigma * rng.standard_normal()
    genes = redrawn(crossed(first.genes, second.genes, space, rng), gene_rate, space, rng)
    return mixed(first, [second], [step], sigma, genes, rng, ranks, fit, align)


def mixed(
    first: Genome,
    others: Sequence[Genome],
    steps: Sequence[float],
    sigma: float,
    genes: Genes,
    rng: np.random.Generator,
    ranks: Mapping[str, str],
    fit: Resize = lambda genome, genes: genome,
    align: Align = lambda genome, like: genome,
) -> Genome:
    """Return the genome that lies some steps from one elite towards others, in products: ``W_1 + sum l_i (W_i - W_1)``.

    Noise comes on top, as in `gaussian`.

    Parameters
    ----------
    first, others
        Elites of one kind; at least one other, or it is `first` itself with other genes.
    steps
        ``l_i``, one for each other.
    sigma
        As in `gaussian`; 0 for none.
    genes
        Of the child.
    rng, ranks, fit, align
        As in `line`.

    Raises
    ------
    ValueError
        As `line`.
    """
    first = fit(first, genes)
    others = [fit(other, genes) for other in others]
    for other in others:
        _check_same_kind(first, other)
    own, theirs = _in_float64(first), [_in_float64(align(other, first)) for other in others]
    inner = {name: first.arrays[f"{name}.U"].shape[1] for name in factored(first)}
    inner |= _inner_sizes(first, genes, ranks)
    arrays: Arrays = {}
    for name, array in own.items():
        if name.removesuffix(".U").removesuffix(".V") not in inner:
            arrays[name] = array
            for step, their in zip(steps, theirs, strict=True):
                arrays[name] = arrays[name] + step * (their[name] - array)
    for name, rank in inner.items():
        U = np.hstack(
            [(1 - math.fsum(steps)) * own[f"{name}.U"]]
            + [step * their[f"{name}.U"] for step, their in zip(steps, theirs, strict=True)]
        )
        V = np.vstack([each[f"{name}.V"] for each in (own, *theirs)])
        arrays[f"{name}.U"], arrays[f"{name}.V"] = _grown(*refactored(U, V, rank), rank, rng)
    return _noisy(replace(first, genes=genes, arrays=arrays), sigma, rng)


def rescaled(genome: Genome, sigma: float, rng: np.random.Generator) -> Genome:
    """Return a genome with each array (each factor of a pair by itself) at another size: ``A' = A exp(sigma N(0, 1))``.

    Noise of relative size s turns an array and raises its norm by no more than ``s^2 / 2`` of it, but norms are what
    sets how much a component writes and how sharply it attends.

    Parameters
    ----------
    genome
        What is rescaled.
    sigma
        Standard deviation of the logarithm of the factors.
    rng
        A named generator, of which one number is drawn for each array, in the order of names.

    Raises
    ------
    ValueError
        If `sigma` is negative or not finite.

    Source: norm and direction as parameters of their own, Salimans & Kingma, "Weight normalization", NeurIPS 2016.
    """
    _check_sigmas(sigma=sigma)
    wide = _in_float64(genome)
    factors = exp_each(sigma * rng.standard_normal(len(wide)))
    scaled = {name: factor * array for (name, array), factor in zip(wide.items(), factors, strict=True)}
    return replace(genome, arrays=_rounded(scaled))


def scaled(genome: Genome, names: Iterable[str], factor: float) -> Genome:
    """Return a genome with some of its arrays multiplied by a factor.

    Parameters
    ----------
    genome
        What is scaled.
    names
        Of the arrays.
    factor
        Finite.
    """
    arrays = {name: np.float32(factor) * genome.arrays[name] for name in names}
    return replace(genome, arrays={**genome.arrays, **arrays})


def resize(genome: Genome, genes: Genes, ranks: Mapping[str, str], rng: np.random.Generator) -> Genome:
    """Return a genome with new genes, the inner sizes of its factored matrices fitted to them.

    A smaller size keeps the best approximation of the product (truncated SVD); a larger one adds small
    random columns to U and zero rows to V, which leaves the product as it is and lets gradients in; the
    same size leaves the factors alone. Only products are kept: where a family scales by the size itself
    (``1 / sqrt(rank)`` in attention), the component's outputs change with it.

    Parameters
    ----------
    genome
        What is resized.
    genes
        The new genes, sorted by name.
    ranks
        The gene that sets the inner size of each factored matrix, for example ``{"qk": "rank"}``.
    rng
        A named generator; used only for growth.

    Raises
    ------
    ValueError
        If `ranks` names a matrix or a gene that is not there, or the gene is no whole number from 1 up.
    """
    arrays = dict(genome.arrays)
    for name, rank in _inner_sizes(genome, genes, ranks).items():
        U, V = arrays[f"{name}.U"], arrays[f"{name}.V"]
        if rank < U.shape[1]:
            U, V = refactored(U.astype(np.float64), V.astype(np.float64), rank)
        arrays[f"{name}.U"], arrays[f"{name}.V"] = _grown(U, V, rank, rng)
    return replace(genome, genes=genes, arrays=_rounded(arrays))


def norm_matched(genome: Genome, rng: np.random.Generator) -> Genome:
    """Return a genome of random arrays, each with the shape and the Frobenius norm of the given genome's.

    For a factored matrix the norm of the product is matched: the random control of a graft.

    Parameters
    ----------
    genome
        Gives genes, shapes and norms.
    rng
        A named generator.
    """
    drawn = {name: rng.standard_normal(genome.arrays[name].shape) for name in sorted(genome.arrays)}
    own, random = _products(genome), _products(replace(genome, arrays=drawn))
    filled = (name for name in own if own[name].size)
    scales = {name: float(np.linalg.norm(own[name]) / np.linalg.norm(random[name])) for name in filled}
    for name, scale in scales.items():
        parts = (f"{name}.U", f"{name}.V") if name in factored(genome) else (name,)
        for part in parts:
            drawn[part] = drawn[part] * scale ** (1 / len(parts))
    return replace(genome, arrays=_rounded(drawn))


def factored(genome: Genome) -> tuple[str, ...]:
    """Return the names of the matrices that a genome holds as factors, sorted.

    Raises
    ------
    ValueError
        If one factor of a pair is missing, or the two do not fit each other.
    """
    names = sorted({name[:-2] for name in genome.arrays if name.endswith((".U", ".V"))})
    for name in names:
        shapes = [genome.arrays[part].shape for part in (f"{name}.U", f"{name}.V") if part in genome.arrays]
        if len(shapes) != 2 or len(shapes[0]) != 2 or len(shapes[1]) != 2 or shapes[0][1] != shapes[1][0]:
            raise ValueError(
                f"matrix {name} needs factors {name}.U [rows, rank] and {name}.V [rank, columns]; "
                f"the genome has shapes {shapes}"
            )
    return tuple(names)


def _product(genome: Genome, name: str) -> np.ndarray:
    U, V = genome.arrays[f"{name}.U"], genome.arrays[f"{name}.V"]
    return U.astype(np.float64) @ V.astype(np.float64)


def _products(genome: Genome) -> Arrays:
    pairs = factored(genome)
    dense = (name for name in genome.arrays if not name.endswith((".U", ".V")))
    return {name: genome.arrays[name].astype(np.float64) for name in dense} | {
        name: _product(genome, name) for name in pairs
    }


def _outer_shapes(genome: Genome) -> dict[str, tuple[int, ...]]:
    arrays, pairs = genome.arrays, factored(genome)
    dense = (name for name in sorted(arrays) if not name.endswith((".U", ".V")))
    return {name: arrays[name].shape for name in dense} | {
        name: (len(arrays[f"{name}.U"]), arrays[f"{name}.V"].shape[1]) for name in pairs
    }


def _in_float64(genome: Genome) -> Arrays:
    return {name: genome.arrays[name].astype(np.float64) for name in sorted(genome.arrays)}


def _rms(array: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(array, dtype=np.float64)))) if array.size else 0.0


def _rounded(arrays: Mapping[str, np.ndarray]) -> Arrays:
    return {name: np.asarray(arrays[name], dtype=np.float32) for name in sorted(arrays)}


def _noisy(genome: Genome, sigma: float, rng: np.random.Generator) -> Genome:
    arrays = {
        name: genome.arrays[name]
        + sigma * _rms(genome.arrays[name]) * rng.standard_normal(genome.arrays[name].shape)
        for name in sorted(genome.arrays)
    }
    return replace(genome, arrays=_rounded(arrays))


def _grown(
    U: np.ndarray, V: np.ndarray, rank: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    extra = rank - U.shape[1]
    if extra <= 0:
        return U, V
    columns = GROWTH * _rms(U) * rng.standard_normal((U.shape[0], extra))
    return np.hstack([U, columns]), np.vstack([V, np.zeros((extra, V.shape[1]))])


def _inner_sizes(genome: Genome, genes: Genes, ranks: Mapping[str, str]) -> dict[str, int]:
    known, values = factored(genome), dict(genes)
    for name, gene in ranks.items():
        if name not in known or gene not in values:
            raise ValueError(
                f"the size of matrix {name!r} is set by gene {gene!r}; "
                f"the genome's factored matrices are {known} and its genes {tuple(values)}"
            )
        if values[gene] < 1 or not float(values[gene]).is_integer():
            raise ValueError(
                f"gene {gene!r} sets a size and must be a whole number from 1; it is {values[gene]}"
            )
    return {name: int(values[ranks[name]]) for name in sorted(ranks)}


def _check_sigmas(**sigmas: float) -> None:
    for name, sigma in sigmas.items():
        if not (math.isfinite(sigma) and sigma >= 0):
            raise ValueError(f"{name} must be finite and not negative; it is {sigma}")


def _check_same_kind(first: Genome, second: Genome) -> None:
    kinds = [
        (
            genome.family,
            genome.depth,
            factored(genome),
            _outer_shapes(genome),
        )
        for genome in (first, second)
    ]
    for what, one, other in zip(("family", "depth", "factored matrices", "shapes"), *kinds, strict=True):
        if one != other:
            raise ValueError(f"only genomes of one kind can be mixed; their {what} differ: {one} and {other}")
