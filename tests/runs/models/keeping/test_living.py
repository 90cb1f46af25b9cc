import copy

import pytest
import torch

from runs.models.keeping.living import OrganismModel
from tests.fixtures.small_worlds import (
    DEFINED,
    KINDS,
    NAMES,
    examples_of,
    small_organism,
    small_species,
    small_stream,
    small_task,
)

VARIANTS = [(family, name) for family, each in DEFINED.items() for name in ("plain", *each.variants)]


def organism_of(family, variant, kind=KINDS[0], slots=(0, 2, 3, 6)):
    options = DEFINED[family].variants.get(variant, {})
    task = small_stream() if variant in DEFINED[family].streams else small_task(*kind)
    return small_organism(small_species(task, family, depth=2, **options), slots)


@pytest.mark.parametrize(("family", "variant"), VARIANTS)
def test_its_outputs_are_those_of_the_organism(family, variant):
    organism = organism_of(family, variant)
    inputs, _ = examples_of(organism.task)
    with torch.no_grad():
        found, wanted = OrganismModel(organism)(inputs), organism(inputs)
    assert torch.allclose(found, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
@pytest.mark.parametrize("family", DEFINED)
def test_so_are_they_for_every_kind_of_task(family, kind):
    organism = organism_of(family, "plain", kind)
    inputs, _ = examples_of(organism.task)
    with torch.no_grad():
        found, wanted = OrganismModel(organism)(inputs), organism(inputs)
    assert torch.allclose(found, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", DEFINED)
def test_it_has_the_parameters_of_the_living_components_and_no_padding(family):
    organism = organism_of(family, "plain")
    model = OrganismModel(organism)
    learned = sum(each.numel() for each in model.layers.parameters())
    assert learned == organism.stats()["parameters"]
    assert all(each.requires_grad for each in model.layers.parameters() if each.numel())
    assert not any(each.requires_grad for each in model.interface.parameters())


@pytest.mark.parametrize("family", DEFINED)
@pytest.mark.parametrize("slots", [(), (7,)], ids=["nothing lives", "a layer is empty"])
def test_layers_in_which_nothing_lives_add_nothing(family, slots):
    organism = organism_of(family, "plain", slots=slots)
    inputs, _ = examples_of(organism.task)
    with torch.no_grad():
        assert torch.allclose(OrganismModel(organism)(inputs), organism(inputs), rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", DEFINED)
def test_copies_and_other_dtypes_compute_with_their_own_parameters(family):
    organism = organism_of(family, "plain")
    inputs, _ = examples_of(organism.task)
    model = OrganismModel(organism)
    wanted = model(inputs)
    wide = copy.deepcopy(model).double()
    assert torch.allclose(wide(inputs.double()), wanted.double(), rtol=0, atol=1e-5)
    with torch.no_grad():
        for each in wide.parameters():
            each.zero_()
    assert torch.equal(wide(inputs.double()), torch.zeros_like(wide(inputs.double())))
    assert torch.equal(model(inputs), wanted)


@pytest.mark.parametrize("family", DEFINED)
def test_a_state_dictionary_makes_the_same_model_of_another(family):
    organism = organism_of(family, "plain")
    inputs, _ = examples_of(organism.task)
    model = OrganismModel(organism)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for each in other.parameters():
            each.add_(1)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(inputs), model(inputs))


@pytest.mark.parametrize("family", DEFINED)
def test_it_can_be_trained_on(family):
    organism = organism_of(family, "plain")
    inputs, _ = examples_of(organism.task)
    model = OrganismModel(organism)
    model(inputs).square().sum().backward()
    for each in model.layers.parameters():
        assert each.requires_grad == (each.numel() > 0)
        assert not each.requires_grad or each.grad.isfinite().all()


def test_what_is_no_organism_of_ours_is_refused():
    with pytest.raises(ValueError, match=r"a Linear is no organisms\.residual\.organism\.ResidualOrganism"):
        OrganismModel(torch.nn.Linear(1, 1))
