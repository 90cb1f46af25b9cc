import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from runs.errors import ConfigError
from runs.models.predicting import examples, predict
from tests.fixtures.small_models import CLASSES, SEQUENCES, SYMBOLS, opened


def numbers(signature, count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, signature.length, signature.features))


@pytest.fixture(scope="module")
def classes():
    return opened("transformer", CLASSES)


@pytest.fixture(scope="module")
def symbols():
    return opened("transformer", SYMBOLS)


@given(count=st.integers(1, 9), batch=st.integers(1, 12))
def test_outputs_do_not_depend_on_the_batches(classes, count, batch):
    given = numbers(CLASSES, count)
    with torch.no_grad():
        wanted = classes.model(torch.from_numpy(given).float()).numpy()
    found = predict(classes, given, batch)
    assert (found.dtype, found.shape) == (np.float32, (count, CLASSES.outputs))
    assert np.allclose(found, wanted, rtol=0, atol=1e-5)


def test_lists_tensors_and_other_dtypes_are_taken(symbols):
    given = [[0, 1, 2, 3, 4, 5, 0]]
    found = predict(symbols, given)
    assert found.shape == (1, 7, 6)
    for other in (torch.tensor(given), np.array(given, dtype=np.uint8), np.array(given, dtype=np.float64)):
        assert np.array_equal(predict(symbols, other), found)


def test_one_feature_needs_no_axis_and_a_causal_model_reads_any_length():
    model = opened("transformer", SEQUENCES)
    given = numbers(SEQUENCES, 3)
    assert np.array_equal(predict(model, given[..., 0]), predict(model, given))
    assert predict(model, given[:, :2]).shape == (3, 2, 1)


def test_a_plain_module_takes_a_tensor_that_has_a_gradient(classes):
    given = torch.tensor(numbers(CLASSES, 2), requires_grad=True)
    assert np.array_equal(predict(classes.model, given), predict(classes, given))


def test_a_plain_module_is_taken_as_it_is(classes):
    given = numbers(CLASSES, 2)
    classes.model.train()
    assert np.array_equal(predict(classes.model, given), predict(classes, given))
    assert classes.model.training
    classes.model.eval()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (np.zeros((2, 6, 3)), r"inputs must be of 7 tokens for a model of the task 'classes', not of 6"),
        (np.zeros((2, 7, 2)), r"inputs must be \[N, 7, 3\] for the task 'classes', .* but are \[2, 7, 2\]"),
        (np.zeros((0, 7, 3)), r"at least one example, but are \[0, 7, 3\]"),
        (np.zeros((7, 3)), r"but are \[7, 3\]"),
        (
            np.full((1, 7, 3), np.inf),
            r"must be finite, but 21 of 21 numbers are not, the first at \[0, 0, 0\]",
        ),
        (np.full((1, 7, 3), 1e300), "must be finite, but 21 of 21"),
        ([["a"]], "must be an array of numbers, but their type is"),
        ([[1], [1, 2]], "must be an array of numbers of one shape"),
    ],
)
def test_numbers_that_are_no_examples_are_refused(classes, given, said):
    with pytest.raises(ConfigError, match=said):
        predict(classes, given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (np.full((1, 7), 6), "must be symbols from 0 to 5, but reach from 6 to 6"),
        (np.full((1, 7), -1), "must be symbols from 0 to 5, but reach from -1 to -1"),
        (np.full((1, 7), 0.5), "must be whole numbers, as the model reads symbols"),
        (np.full((1, 7), np.nan), "must be whole numbers"),
        (np.zeros((1, 7, 1)), r"must be \[N, 7\] for the task 'symbols'"),
    ],
)
def test_symbols_that_are_none_are_refused(symbols, given, said):
    with pytest.raises(ConfigError, match=said), np.errstate(invalid="ignore"):
        examples(symbols, given)


def test_a_batch_has_an_example(classes):
    with pytest.raises(ValueError, match="batch must be at least 1, not 0"):
        predict(classes, numbers(CLASSES, 1), 0)
