"""Genomes as flat vectors of one length, which any optimizer can vary."""

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from organisms.pool import Occupant, Pool
from qd.genes import GeneSpace
from qd.records import Genome


class FlatGenomes:
    """Maps genomes of a family to vectors and back.

    A vector holds the layer (a share of the last one's number, in [0, 1]), each gene as a share of its range, in
    the order of their names, and the arrays, padded with zeros to the family's largest sizes. Back again, layer and
    genes are clipped and rounded to what is allowed, and arrays are cut to the sizes that the genes ask for.

    Parameters
    ----------
    pool
        An empty pool of the family; it is written to.
    genes
        The family's structural genes.
    """

    def __init__(self, pool: Pool, genes: GeneSpace) -> None:
        self._pool = pool
        self._genes = {name: genes[name] for name in sorted(genes)}

    @property
    def size(self) -> int:
        """Length of a vector."""
        return 1 + len(self._genes) + sum(stack[0].numel() for stack in self._pool.stacks.values())

    def vector(self, genome: Genome) -> Float64[np.ndarray, " size"]:
        """Return the vector of a genome.

        Raises
        ------
        ValueError
            If it is of another family, or its arrays do not fit its genes.
        """
        slot = genome.depth * self._pool.capacity
        own = dict(genome.genes)
        self._pool.graft(slot, genome, Occupant.guest(genome.genes))
        arrays = [stack[slot].detach().cpu().numpy().ravel() for stack in self._pool.stacks.values()]
        head = [genome.depth / max(1, self._pool.depth - 1)]
        head += [gene.share(own[name]) for name, gene in self._genes.items()]
        vector = np.concatenate([head, *arrays]).astype(np.float64)
        self._pool.retire(slot)
        return vector

    def genome(self, vector: ArrayLike) -> Genome:
        """Return the genome of a vector.

        Raises
        ------
        ValueError
            If it has another length, or a number that is not finite.
        """
        values = np.asarray(vector, dtype=np.float64)
        if values.shape != (self.size,) or not np.isfinite(values).all():
            raise ValueError(
                f"a genome is a vector of {self.size} finite numbers, not of shape {values.shape}"
            )
        shares = np.clip(values[: 1 + len(self._genes)], 0.0, 1.0).tolist()
        genes = tuple(
            (name, gene.between(gene.low, gene.high, share))
            for (name, gene), share in zip(self._genes.items(), shares[1:], strict=True)
        )
        arrays, start = {}, len(shares)
        for name, stack in self._pool.stacks.items():
            end = start + stack[0].numel()
            arrays[name] = values[start:end].reshape(stack.shape[1:])
            start = end
        depth = round(shares[0] * (self._pool.depth - 1))
        return Genome(self._pool.family, depth, genes, self._pool.trimmed(arrays, genes))
