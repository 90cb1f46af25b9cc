"""Variation of genomes as a family knows it: its genes, the sizes that they set, and its equivalent forms."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from organisms.species import Species
from qd import variation
from qd.genes import random_genes, redrawn, shifted
from qd.records import Genes, Genome


@dataclass(frozen=True, slots=True, eq=False)
class Variator:
    """Varies genomes of a family, with a stream of its own for each child.

    Parameters
    ----------
    family
        Says which genes there are and what they set.
    stream
        A named generator (`qd.seeding.generator`), of which every draw is taken in order.
    """

    family: Species
    stream: np.random.Generator

    def gaussian(self, genome: Genome, sigma: float, gene_rate: float) -> Genome:
        """Return a genome with noise, some of its genes drawn anew (`qd.variation.gaussian`).

        Parameters
        ----------
        genome
            The parent.
        sigma
            Standard deviation of the noise, relative to the root mean square of each array.
        gene_rate
            Probability of each gene to be drawn anew.
        """
        return variation.gaussian(genome, sigma, gene_rate, self.family.genes, self._resized, self.stream)

    def line(
        self, first: Genome, second: Genome, sigma: float, line_sigma: float, gene_rate: float
    ) -> Genome:
        """Return a genome on the line through two others, with noise (`qd.variation.line`).

        Parameters
        ----------
        first, second
            The parents, of one layer.
        sigma, gene_rate
            As in `gaussian`.
        line_sigma
            Standard deviation of the step from the first, relative to their distance.
        """
        return variation.line(
            first,
            second,
            sigma,
            line_sigma,
            gene_rate,
            self.family.genes,
            self.stream,
            self.family.ranks,
            self._fitted,
            self.family.aligned,
        )

    def mixed(self, parents: Sequence[Genome], point: Sequence[float]) -> Genome:
        """Return the genome at a point of the space around the first parent (`qd.variation.mixed`).

        Parameters
        ----------
        parents
            The first, and those in whose directions the point may lie.
        point
            First how far each gene moves, as a share of its range and in the order of names; then how far to go to each
            other parent, as a share of the way.
        """
        genes = shifted(parents[0].genes, point[: len(self.family.genes)], self.family.genes)
        return variation.mixed(
            parents[0],
            parents[1:],
            point[len(self.family.genes) :],
            0.0,
            genes,
            self.stream,
            self.family.ranks,
            self._fitted,
            self.family.aligned,
        )

    def with_new_genes(self, genome: Genome, share: float) -> Genome:
        """Return a genome with other structural genes, at least one, and its arrays fitted to them.

        Parameters
        ----------
        genome
            The parent.
        share
            Probability of each gene to be drawn anew.
        """
        space = self.family.genes
        genes = redrawn(genome.genes, share, space, self.stream)
        if genes == genome.genes and space:
            name = sorted(space)[int(self.stream.integers(len(space)))]
            genes = redrawn(genes, 1.0, {name: space[name]}, self.stream)
        return self._resized(genome, genes)

    def rescaled(self, genome: Genome, sigma: float) -> Genome:
        """Return a genome each of whose arrays has another size (`qd.variation.rescaled`).

        Parameters
        ----------
        genome
            The parent.
        sigma
            Standard deviation of the logarithm of the factors.
        """
        return variation.rescaled(genome, sigma, self.stream)

    def random(self, depth: int) -> Genome:
        """Return an untrained genome of random genes for a layer."""
        return self.family.random_genome(depth, random_genes(self.family.genes, self.stream), self.stream)

    def _fitted(self, genome: Genome, genes: Genes) -> Genome:
        return self.family.fitted(genome, genes, self.stream)

    def _resized(self, genome: Genome, genes: Genes) -> Genome:
        return variation.resize(self._fitted(genome, genes), genes, self.family.ranks, self.stream)
