import math
from dataclasses import replace

import pytest

from qd.measures import MEASURES
from runs.trainer import advance
from runs.training.births.newborns import found
from runs.training.finiteness import after_training, of_census
from runs.training.state import Individual
from tests.fixtures.small_worlds import calibrated_world, order


@pytest.fixture
def individual():
    return Individual(0, found(calibrated_world(), 0), 2, 7, None, 1.0)


@pytest.fixture(scope="module")
def census():
    return advance(calibrated_world(), None, order(2, 1), {}, lambda: 0.0)[0].census


def spoilt(census, **numbers):
    first, second, *rest = census.records
    return replace(census, records=(first, replace(second, **numbers), *rest))


def test_a_finite_organism_has_nothing_to_say(individual, census):
    assert after_training(individual, 0.5) is None
    assert of_census(census, MEASURES) is None


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_is_named_by_its_step(individual, loss):
    assert after_training(individual, loss) == f"training loss became {loss} at optimizer step 7"


def test_every_weight_and_moment_is_looked_at(individual):
    pool = individual.organism.pool
    for name, tensor in pool.tensors().items():
        before = tensor.clone()
        tensor[1].fill_(math.nan)
        assert after_training(individual, 0.5) == f"{name} is not finite after optimizer step 7"
        tensor.copy_(before)
    assert {"stacks.qk.U", "first.ov.V", "second.ov.V"} <= set(pool.tensors())
    assert after_training(individual, 0.5) is None


@pytest.mark.parametrize("field", ["assay", "assay_lower", "ablation", "gradient", "flops", "bytes"])
@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_every_number_of_a_record_is_named_with_its_component(census, field, value):
    name = census.records[1].component
    assert of_census(spoilt(census, **{field: value}), MEASURES) == f"{field} of component {name} is {value}"


@pytest.mark.parametrize("index", range(5))
def test_a_measure_is_called_as_in_the_configuration(census, index):
    values = list(census.records[1].measures)
    values[index] = math.nan
    names = [*MEASURES[:4], "mine:written_norm"]
    reason = of_census(spoilt(census, measures=tuple(values)), names)
    assert reason == f"measure {names[index]} of component 2.0.1 is nan"


@pytest.mark.parametrize("name", ["validation loss", "probe loss"])
def test_losses_on_validation_and_probe_count(census, name):
    field = name.replace(" ", "_")
    assert of_census(replace(census, **{field: math.inf}), MEASURES) == f"{name} is inf"


def test_scores_and_the_test_split_do_not(census):
    other = replace(census, validation_score=math.nan, test_loss=math.nan, test_score=-math.inf)
    assert of_census(other, MEASURES) is None
