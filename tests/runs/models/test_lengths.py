from dataclasses import replace

import numpy as np
import pytest
import torch

from runs.errors import ConfigError
from runs.models.lengths import RUN, Lengths, lengths_of
from runs.models.opening import open_model
from runs.models.predicting import predict
from tests.fixtures.small_models import CLASSES, SEQUENCES


@pytest.mark.parametrize(
    ("signature", "architecture", "expected", "told"),
    [
        (CLASSES, "experts", Lengths(7, 7), "7 tokens"),
        (CLASSES, RUN, Lengths(7, 7), "7 tokens"),
        (replace(SEQUENCES, causal=False), "experts", Lengths(7, 7), "7 tokens"),
        (SEQUENCES, "experts", Lengths(1, None), "1 or more tokens"),
        (SEQUENCES, "mine:built", Lengths(1, None), "1 or more tokens"),
        (SEQUENCES, "flow", Lengths(1, 7), "1 to 7 tokens"),
        (SEQUENCES, RUN, Lengths(1, 7), "1 to 7 tokens"),
    ],
)
def test_what_is_read_follows_from_task_and_architecture(signature, architecture, expected, told):
    found = lengths_of(signature, architecture)
    assert (found, str(found), found.any) == (expected, told, expected.most is None)
    assert [length for length in range(10) if length in found] == [
        length for length in range(10) if expected.least <= length <= (expected.most or 9)
    ]


def test_a_run_answers_to_shorter_sequences_as_to_the_beginning_of_whole_ones(signals):
    """Those who predict and those who serve take the same ones: `tests/runs/serving/http/test_infer.py`."""
    opened = open_model(signals)
    length = opened.signature.length
    draws = np.random.default_rng(0).normal(size=(3, length, opened.signature.features))
    with torch.no_grad():
        whole = opened.model(torch.from_numpy(draws).float()).numpy()
    for short in (1, length - 1, length):
        assert np.allclose(predict(opened, draws[:, :short]), whole[:, :short], rtol=1e-5, atol=1e-6)
    with pytest.raises(
        ConfigError, match=rf"inputs must be of 1 to {length} tokens for a model of the task 'sig"
    ):
        predict(opened, np.concatenate([draws, draws], 1))
