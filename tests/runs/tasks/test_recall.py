"""The task `recall`: what is asked for is out of sight, and was shown."""

import numpy as np
import pytest

from organisms.task import Split
from runs import tasks
from runs.config.sections import TaskConfig
from runs.tasks.recall import VALUES, answered, asks


def built(**options):
    return tasks.load(TaskConfig(name="recall", **options))


@pytest.fixture(scope="module", params=[{}, {"length": 3, "chunks": 5}, {"length": 2, "chunks": 2}], ids=str)
def task(request):
    return built(**request.param)


def streams(task):
    """Keys, values that are shown (-1: none) and targets of every example, [N, K, T] each."""
    for name in ("train", "probe", "validation", "test"):
        split = getattr(task, name)
        keys, values = split.inputs[..., :-VALUES], split.inputs[..., -VALUES:]
        assert (keys.sum(-1) == 1).all()
        assert (values.sum(-1) == ~asks(split.inputs)).all()
        shown = np.where(values.any(-1), values.argmax(-1), -1)
        arrays = (keys.argmax(-1), shown, split.targets)
        chunked = (each.reshape(len(split), task.chunks, task.chunk) for each in arrays)
        yield tuple(chunked)


def test_every_question_is_about_a_key_of_an_earlier_chunk_and_the_answer_is_its_value(task):
    for keys, shown, targets in streams(task):
        for example in zip(keys[:50], shown, targets, strict=False):
            known = {}
            for chunk_keys, chunk_shown, chunk_targets in zip(*example, strict=True):
                asked = [
                    (k, a) for k, v, a in zip(chunk_keys, chunk_shown, chunk_targets, strict=True) if v < 0
                ]
                assert all(known[key] == answer for key, answer in asked)
                new = {k: v for k, v in zip(chunk_keys, chunk_shown, strict=True) if v >= 0}
                assert not known.keys() & new.keys()
                assert [a for v, a in zip(chunk_shown, chunk_targets, strict=True) if v >= 0] == list(
                    new.values()
                )
                known |= new


def test_the_first_chunk_shows_and_each_further_one_shows_one_that_is_new(task):
    for _, shown, _ in streams(task):
        counts = (shown >= 0).sum(-1)
        assert (counts[:, 0] == task.chunk).all()
        assert (counts[:, 1:] == 1).all()


def test_values_are_drawn_evenly_and_anew_for_every_stream():
    (keys, _, targets), *_ = streams(built())
    of_first_key = targets.reshape(len(keys), -1)[
        np.arange(len(keys)), (keys == 0).reshape(len(keys), -1).argmax(1)
    ]
    assert np.bincount(of_first_key, minlength=VALUES).min() > 0.08 * len(keys)
    assert np.bincount(keys[:, 0].ravel()).min() > 0.8 * keys[:, 0].size / 15


def test_the_data_never_change_and_sizes_count():
    assert built().digest == "24afde7d1a4b67b76f33eca69a77ce119da070290d13c2c48d6fdd1774e47388"
    assert (
        len({built(**asked).digest for asked in ({}, {"length": 4}, {"chunks": 4}, {"truncation": 3})}) == 4
    )
    assert built(truncation=3).truncation == 3


def test_only_answers_to_questions_are_reported():
    task = built(length=2, chunks=2)
    split = Split(task.test.inputs[:1], task.test.targets[:1])
    outputs = np.eye(VALUES)[split.targets]
    assert answered(outputs, split) == {"answered": 1.0}
    asked = asks(split.inputs)
    outputs[asked] = -outputs[asked]
    assert answered(outputs, split) == {"answered": 0.0}
