"""The presets that compare with a transformer: it is as large, and trained alike."""

import math
import pkgutil

import numpy as np
import pytest
import torch

from organisms.families import FAMILIES
from qd.genes import random_genes
from runs import tasks
from runs.experiments.description import described
from runs.experiments.plan import planned
from runs.models.architectures import build
from runs.models.fit.reading import load
from runs.models.signature import Signature

AGAINST_TRANSFORMERS = ("baseline", "degradation", "diversity")


def species_of(arm):
    config = arm.config
    task = tasks.load(config.task, tasks.corpus(config.task))
    made = pkgutil.resolve_name(FAMILIES[config.organism.kind].species)
    return made(task, config.organism.sizes, config.options)


def mean_size(species, draws=400):
    """Parameters and counted FLOPs of a founder, the mean over the genes that it may have."""
    found = []
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        genome = species.random_genome(0, random_genes(species.genes, rng), rng)
        found.append((sum(array.size for array in genome.arrays.values()), species.cost(genome.genes)[0]))
    return np.mean(found, axis=0)


@pytest.mark.parametrize("name", AGAINST_TRANSFORMERS)
def test_its_transformer_is_as_large_as_the_pools_that_it_is_compared_with(name):
    arms = {arm.name: arm for arm in planned(described(name)).arms}
    transformer, static = arms["transformer"], arms["static"]
    assert transformer.config.organism.initial == transformer.config.organism.capacity == 8
    parameters, flops = 8 * mean_size(species_of(transformer), draws=1)
    assert (parameters, flops) == (27_648, 963_328)
    least, most = (
        count * mean_size(species_of(static)) for count in (static.config.organism.initial, 12)
    )  # founders, and full pools
    assert 0.95 * least[0] < parameters < most[0]
    assert 0.95 * least[1] < flops < most[1]
    for arm in (transformer, static):
        config = arm.config
        assert (config.births, config.lifecycle.enabled, config.emitters.children) == ("none", False, 0)
        assert config.training == arms[next(iter(arms))].config.training


def test_the_baseline_of_a_training_of_pseudopods_is_as_large_and_trained_alike():
    configs = [load(f"digits-{kind}") for kind in ("pseudopods", "transformer")]
    signature = Signature("digits", "class", "continuous", 4, 10, 16, False)
    sizes = []
    for config in configs:
        model = build(signature, config.model, torch.Generator().manual_seed(0))
        sizes.append(math.fsum(parameter.numel() for parameter in model.parameters()))
    assert sizes[1] == pytest.approx(sizes[0], rel=0.01)
    for section in ("data", "optim", "sched", "eval"):
        assert getattr(configs[0], section) == getattr(configs[1], section)
