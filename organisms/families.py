"""The table of families, by import path, so that a run loads no family but its own."""

from collections.abc import Mapping

# Import paths, so that a run loads no family but its own.
FAMILIES: Mapping[str, str] = {
    "pseudopods": "organisms.pseudopods.species.family:Pseudopods",
    "experts": "organisms.experts.species.family:Experts",
}


# What a family must have to be one.
CONTRACT = (
    *("family", "genes", "ranks", "analytic_ranges", "cost"),
    *("interface", "organism", "random_genome", "fitted", "aligned", "probe", "assay", "host"),
)
