import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from organisms.task import Split
from tests.fixtures.small_worlds import small_stream, small_task


def test_equal_data_have_equal_digests_and_a_changed_number_another():
    task = small_task()
    assert task.digest == small_task().digest
    targets = task.test.targets.copy()
    targets[0] = (targets[0] + 1) % task.outputs
    assert replace(task, test=Split(task.test.inputs, targets)).digest != task.digest


def test_distances_are_euclidean():
    task = small_task(places=np.array([[0.0, 0.0], [3.0, 4.0]]))
    np.testing.assert_allclose(task.distances, [[0, 5], [5, 0]])


def labelled(task, labels=("low", "high"), of=lambda split: np.arange(len(split)) % 2):
    splits = {name: getattr(task, name) for name in ("train", "probe", "validation", "test")}
    given = {name: replace(split, labels=of(split)) for name, split in splits.items()}
    return replace(task, labels=labels, **given)


def test_the_digest_of_a_task_without_labels_is_what_it_was_before_there_were_any():
    task = small_task()
    arrays = [
        [str(a.dtype), list(a.shape), hashlib.sha256(a.tobytes()).hexdigest()]
        for split in (task.train, task.probe, task.validation, task.test)
        for a in (split.inputs, split.targets)
    ]
    places = task.positions
    arrays.append([str(places.dtype), list(places.shape), hashlib.sha256(places.tobytes()).hexdigest()])
    shape = ["class", "continuous", task.features, task.outputs, False]
    text = json.dumps({"arrays": arrays, "shape": shape}, sort_keys=True, separators=(",", ":"))
    assert task.digest == hashlib.sha256(text.encode()).hexdigest()
    assert replace(task, metrics=lambda outputs, split: {}).digest == task.digest


def test_names_of_classes_do_not_count_for_the_digest_and_are_one_for_each():
    task = small_task()
    names = tuple(map(str, range(task.outputs)))
    assert replace(task, classes=names).digest == task.digest
    with pytest.raises(
        ValueError, match=f"each of the {task.outputs} outputs of a task of kind class, but are 1 "
    ):
        replace(task, classes=names[:1])


def test_labels_count_for_the_digest():
    task = small_task()
    digests = [
        task.digest,
        labelled(task).digest,
        labelled(task, labels=("low", "top")).digest,
        labelled(task, of=lambda split: np.arange(len(split)) % 3 % 2).digest,
    ]
    assert len(set(digests)) == 4
    assert labelled(task).digest == digests[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ()}, r"train\.labels must be given if the task names labels, and only then"),
        ({"labels": ("low",)}, r"train\.labels must be whole numbers from 0 to 0; the largest is 1"),
        ({"labels": ("low", "high", "low")}, "labels must be different names, but 'low' comes twice"),
        ({"of": lambda split: None}, r"train\.labels must be given if the task names labels"),
        ({"of": lambda split: np.zeros(3, int)}, r"train\.labels must be \(11,\); it is \(3,\)"),
        ({"of": lambda split: np.full(len(split), 0.5)}, r"train\.labels must be whole numbers"),
        ({"of": lambda split: np.full(len(split), -1)}, r"from 0 to 1; the smallest is -1"),
    ],
)
def test_labels_that_do_not_fit_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        labelled(small_task(), **change)


@pytest.mark.parametrize(
    ("kind", "tokens", "change", "message"),
    [
        (
            "class",
            "continuous",
            {"kind": "classes"},
            "kind must be one of class, token, value, sequence, not 'clas",
        ),
        (
            "class",
            "continuous",
            {"tokens": "real"},
            "tokens must be one of continuous, discrete, not 'real'",
        ),
        ("class", "continuous", {"positions": np.zeros((0, 1))}, "positions must be finite numbers"),
        ("class", "continuous", {"positions": np.full((7, 1), np.nan)}, "positions must be finite numbers"),
        ("class", "continuous", {"features": 9}, r"train.inputs must be \[N, 7, 9\]"),
        ("class", "continuous", {"outputs": 1}, "train.targets must be whole numbers from 0 to 0"),
        ("token", "discrete", {"features": 1}, "train.inputs must be whole numbers from 0 to 0"),
        ("value", "continuous", {"outputs": 9}, r"train.targets must be \(11, 9\) for a value task"),
        ("sequence", "continuous", {"outputs": 9}, r"train.targets must be \(11, 7, 9\) for a sequence task"),
        (
            "value",
            "continuous",
            {"kind": "sequence"},
            r"train.targets must be \(11, 7, 5\) for a sequence task",
        ),
        ("token", "continuous", {"kind": "class"}, r"train.targets must be \(11,\) for a class task"),
    ],
)
def test_what_does_not_fit_is_named(kind, tokens, change, message):
    with pytest.raises(ValueError, match=message):
        replace(small_task(kind, tokens), **change)


@pytest.mark.parametrize("kind", ["class", "value", "sequence"])
def test_numbers_must_be_finite(kind):
    task = small_task(kind)
    inputs, targets = task.probe.inputs.copy(), task.probe.targets.astype(np.float32)
    inputs[0, 0, 0] = np.inf
    with pytest.raises(ValueError, match=r"probe\.inputs must be finite"):
        replace(task, probe=Split(inputs, task.probe.targets))
    targets.flat[0] = np.nan
    with pytest.raises(ValueError, match=r"probe\.targets must be (finite|an array .* missing)"):
        replace(task, probe=Split(task.probe.inputs, targets))


@pytest.mark.parametrize(
    ("kind", "tokens"), [("class", "continuous"), ("token", "discrete"), ("value", "continuous")]
)
def test_what_a_split_is_given_is_converted_once_and_named_where_that_would_lose_something(kind, tokens):
    task = small_task(kind, tokens)
    as_lists = Split(task.train.inputs.tolist(), task.train.targets.tolist())
    found = replace(task, train=as_lists, positions=task.positions.tolist())
    for wanted, array in ((task.train.inputs, found.train.inputs), (task.train.targets, found.train.targets)):
        np.testing.assert_array_equal(array, wanted)
    assert found.positions.dtype == np.float64
    for what in ("inputs", "targets"):
        for lossy, message in (
            (0.1, "(float32|whole numbers)"),
            (np.nan, "(finite|array .* missing)"),
            ("a", "text"),
        ):
            array = np.full(getattr(task.probe, what).shape, lossy)
            with pytest.raises(ValueError, match=rf"probe\.{what} must be .*{message}"):
                replace(task, probe=replace(task.probe, **{what: array}))


def test_what_is_right_already_is_not_copied():
    task = small_task()
    assert replace(task).train.inputs is task.train.inputs
    assert replace(task).train.targets is task.train.targets
    assert replace(task).positions is task.positions


def test_what_is_no_split_is_named():
    task = small_task()
    with pytest.raises(ValueError, match=r"train must be an organisms\.task\.Split, not a tuple"):
        replace(task, train=(task.train.inputs, task.train.targets))


def test_no_split_may_be_empty():
    task = small_task()
    with pytest.raises(ValueError, match=r"validation\.inputs must be \[N, 7, 3\]; it is \(0, 7, 3\)"):
        replace(task, validation=Split(task.test.inputs[:0], task.test.targets[:0]))


class TestStreams:
    def test_a_token_sees_its_own_chunk_up_to_itself(self):
        task = small_stream()
        assert (task.length, task.sight, task.chunks, task.reach) == (12, 3, 4, 2)
        seen = task.visible(99.0)
        for i in range(task.length):
            assert seen[i].nonzero()[0].tolist() == list(range(i // 3 * 3, i + 1))
        assert task.visible(2.0)[5].nonzero()[0].tolist() == [4, 5]

    def test_what_is_no_stream_is_one_chunk(self):
        task = small_task()
        assert (task.sight, task.chunks, task.reach) == (task.length, 1, task.distances.max())

    def test_chunks_count_for_the_digest(self):
        task = small_stream()
        others = (replace(task, chunk=None), replace(task, chunk=4), replace(task, truncation=2))
        assert len({task.digest, *(each.digest for each in others)}) == 4

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"chunk": 5}, "chunk must be .* that divides the 12 of a stream into two or more, but is 5"),
            ({"chunk": 12}, "chunk must be .* but is 12"),
            ({"chunk": 1}, "chunk must be .* from 2 on, .* but is 1"),
            ({"truncation": 0}, "truncation must be a number of chunks from 1 to 4, but is 0"),
            ({"truncation": 5}, "truncation must be a number of chunks from 1 to 4, but is 5"),
            ({"chunk": None, "truncation": 2}, "truncation must be None without chunks, but is 2"),
            ({"causal": False}, "a stream must be causal"),
            ({"positions": np.zeros((12, 2))}, r"a stream must be causal, with positions \[S, 1\]"),
        ],
    )
    def test_chunks_that_do_not_fit_are_named(self, change, message):
        with pytest.raises(ValueError, match=message):
            replace(small_stream(), **change)
