"""The emitters of the table: what makes a child of its parents. Which there are is said in `qd.emitters.kinds`."""

from collections.abc import Callable, Mapping, Sequence

from qd.records import Genome
from runs.config.import_path import imported
from runs.config.schema import Config
from runs.training.variator import Variator

# Of the parents (one, or two of one layer where the archive has so many), what varies genomes, and the configuration.
Emitter = Callable[[Sequence[Genome], Variator, Config], Genome]


def iso_line(parents: Sequence[Genome], vary: Variator, config: Config) -> Genome:
    """Return a child on the line through two elites, with little noise and other sizes; of one alone, with these.

    Parameters
    ----------
    parents
        One or two elites.
    vary
        Varies genomes.
    config
        Of the run.

    Source: Vassiliades & Mouret, "Discovering the elite hypervolume by leveraging interspecies correlation",
    GECCO 2018.
    """
    own, settings = config.emitters, config.variation
    child = (
        vary.gaussian(parents[0], own.iso_sigma, settings.gene_rate)
        if len(parents) == 1
        else vary.line(parents[0], parents[1], own.iso_sigma, settings.line_sigma, settings.gene_rate)
    )
    return vary.rescaled(child, own.scale_sigma)


def gaussian(parents: Sequence[Genome], vary: Variator, config: Config) -> Genome:
    """Return an elite with noise, its arrays at other sizes, and now and then other genes.

    Parameters
    ----------
    parents
        The elite.
    vary
        Varies genomes.
    config
        Of the run.
    """
    child = vary.gaussian(parents[0], config.emitters.sigma, config.variation.gene_rate)
    return vary.rescaled(child, config.emitters.scale_sigma)


def gene(parents: Sequence[Genome], vary: Variator, config: Config) -> Genome:
    """Return an elite with other structural genes and, as far as they allow, the same products.

    Parameters
    ----------
    parents
        The elite.
    vary
        Varies genomes.
    config
        Of the run.
    """
    return vary.with_new_genes(parents[0], config.emitters.gene_share)


EMITTERS: Mapping[str, Emitter] = {
    "iso_line": iso_line,
    "gaussian": gaussian,
    "gene": gene,
    "gradient": gaussian,  # and trained then, as its kind says
}


def emitter_of(name: str) -> Emitter:
    """Return an emitter of the table, or a user's by import path.

    Raises
    ------
    ConfigError
        If a user's cannot be imported.
    """
    found: Emitter = EMITTERS[name] if name in EMITTERS else imported(name, "emitters.kinds")
    return found
