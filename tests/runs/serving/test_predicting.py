import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from runs.serving.generation import Refused
from runs.serving.predicting import TOGETHER, Predictor, batches
from tests.runs.serving.small import classes, model


@given(st.lists(st.sampled_from([1, 3, 700, 5000]), max_size=20))
def test_batches_are_of_one_length_each_and_of_all_examples(lengths):
    found = batches(lengths)
    assert sorted(at for places in found for at in places) == list(range(len(lengths)))
    for places in found:
        (length,) = {lengths[at] for at in places}
        assert len(places) == 1 or len(places) * length <= TOGETHER


def test_outputs_are_the_model_s():
    own = model(classes(), "transformer")
    examples = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = own(examples)[0]
    given = [[tuple(token) for token in example] for example in examples.tolist()]
    assert Predictor(own)(given) == wanted.tolist()


def test_what_the_model_cannot_read_and_what_is_not_finite_is_refused():
    def picky(tokens):
        raise ValueError("it is too long")

    module = model(classes(), "transformer")
    module.forward = picky
    with pytest.raises(Refused, match="the model cannot read these inputs: it is too long"):
        Predictor(module)([[(0.0, 0.0)]])
    module.forward = lambda tokens: (tokens * torch.nan, {})
    with pytest.raises(Refused, match="what the model answers to these inputs is not finite") as refused:
        Predictor(module)([[(0.0, 0.0)]])
    assert refused.value.status == 422
