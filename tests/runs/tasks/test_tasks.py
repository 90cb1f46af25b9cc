from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from organisms.task import Split, Task
from runs import tasks
from runs.config import sections
from runs.errors import ConfigError
from runs.tasks import text
from runs.tasks.splits import capped, stratified

SPLITS = ("train", "probe", "validation", "test")


@dataclass(frozen=True)
class Asked:
    name: str
    path: str | None = None
    length: int | None = None
    examples: int | None = None
    kinds: tuple[str, ...] | None = None
    stream: bool = False
    chunks: int | None = None
    truncation: int | None = None
    target: str | None = None
    columns: tuple[str, ...] | None = None
    predict: str | None = None
    split: int | str = 0
    missing: str = "refuse"


FROM_FILES = ("table", "tinystories", "wikitext")  # which have tests of their own
WITHOUT_FILE = [name for name in tasks.TASKS if name not in FROM_FILES]


def splits(task: Task) -> list[Split]:
    return [getattr(task, name) for name in SPLITS]


def everything(task: Task) -> tuple[np.ndarray, np.ndarray]:
    return (
        np.concatenate([split.inputs for split in splits(task)]),
        np.concatenate([split.targets for split in splits(task)]),
    )


def distinct(examples: np.ndarray) -> int:
    return len(np.unique(examples.reshape(len(examples), -1), axis=0))


class TestTable:
    def test_the_description_of_the_key_names_all_of_them(self):
        assert sections.TaskConfig.model_fields["name"].description.startswith(", ".join(tasks.TASKS))

    def test_a_configuration_section_is_what_builders_read(self):
        assert {field.name for field in fields(Asked)} == set(sections.TaskConfig.model_fields)

    @pytest.mark.parametrize("name", WITHOUT_FILE)
    def test_arrays_have_the_types_and_shapes_that_a_task_promises(self, name):
        task = tasks.load(Asked(name))
        for split in splits(task):
            shape = (task.length,) if task.tokens == "discrete" else (task.length, task.features)
            assert split.inputs.shape == (len(split), *shape)
            assert split.inputs.dtype == (np.uint8 if task.tokens == "discrete" else np.float32)
            wanted = {
                "class": (),
                "token": (task.length,),
                "value": (task.outputs,),
                "sequence": (task.length, task.outputs),
            }[task.kind]
            assert split.targets.shape == (len(split), *wanted)
            assert split.targets.dtype == (np.float32 if task.kind in ("value", "sequence") else np.int64)
            for array in (split.inputs, split.targets):
                assert array.flags.c_contiguous  # torch takes arrays as they are,
                assert array.flags.writeable  # and warns of those that cannot be written
        assert task.name == name
        assert task.positions.dtype == np.float64

    @pytest.mark.parametrize("name", WITHOUT_FILE)
    def test_building_twice_gives_the_same_data(self, name):
        assert tasks.load(Asked(name)).digest == tasks.load(Asked(name)).digest

    @pytest.mark.parametrize("name", WITHOUT_FILE)
    def test_a_cap_concerns_training_only(self, name):
        whole, some = tasks.load(Asked(name)), tasks.load(Asked(name, examples=10))
        assert len(some.train) == 10
        assert distinct(np.concatenate([whole.train.inputs, some.train.inputs])) == distinct(
            whole.train.inputs
        )
        for split in SPLITS[1:]:
            np.testing.assert_array_equal(getattr(whole, split).inputs, getattr(some, split).inputs)

    def test_an_unknown_name_lists_the_known_ones_and_the_nearest(self):
        with pytest.raises(ConfigError, match=r"'digit'; the tasks are digits, text.*did you mean digits\?"):
            tasks.load(Asked("digit"))

    @pytest.mark.parametrize("name", ["digits", "text", "recall", "sine", "xor", "parity"])
    def test_a_task_of_one_kind_of_examples_refuses_a_choice(self, name):
        sentence = (
            rf'task.kinds is \["sine"\], but all examples of the task \'{name}\' are of one kind; remove'
        )
        with pytest.raises(ConfigError, match=sentence):
            tasks.load(Asked(name, kinds=("sine",)))

    @pytest.mark.parametrize("name", ["digits", "signals", "recall", "trajectories", "sine", "xor", "parity"])
    def test_a_task_without_a_file_refuses_one(self, name):
        with pytest.raises(ConfigError, match=f"task.path is 'x.txt', but the task '{name}' reads no file"):
            tasks.load(Asked(name, path="x.txt"))

    @pytest.mark.parametrize(
        ("name", "length", "sentence"),
        [
            ("digits", 17, "task.length is 17, but an image of the task 'digits' always has 16 tokens"),
            ("sine", 2, "task 'sine' takes 3 to 1024 tokens: fewer than 3 samples leave the frequency open"),
            ("xor", 7, "task 'xor' takes 8 to 32 tokens: 4000 different examples need 8 or more"),
            ("parity", 6, "task 'parity' takes 8 to 32 tokens: fewer bits give too few patterns"),
            ("text", 1, "task 'text' takes 2 to 65536 tokens"),
            ("recall", 1, "task 'recall' takes 2 to 64 tokens: a chunk asks for one key and shows another"),
        ],
    )
    def test_a_length_that_a_task_does_not_have(self, name, length, sentence):
        with pytest.raises(ConfigError, match=sentence):
            tasks.load(Asked(name, length=length))


@pytest.fixture(scope="module")
def task():
    return tasks.load(Asked("digits"))


class TestDigits:
    def test_the_data_never_changes(self, task):
        assert task.digest == "209fed3d543c2ed188d159632de09b2392b0e06c944b828a607cc7f01b4358f8"

    def test_each_image_is_in_one_split(self, task):
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        assert [len(split) for split in splits(task)] == [1097, 200, 200, 300]
        tokens, targets = everything(task)
        lightest = tokens.min()  # no ink
        rebuilt = np.zeros((len(tokens), 8, 8))
        for token, (row, column) in enumerate(task.positions.astype(int)):
            for pixel in range(4):
                place = (slice(None), 2 * row + pixel // 2, 2 * column + pixel % 2)
                rebuilt[place] = np.rint(16 * (tokens[:, token, pixel] - lightest))
        ours = sorted([*image.ravel().tolist(), label] for image, label in zip(rebuilt, targets, strict=True))
        assert ours == sorted([*image.tolist(), label] for image, label in zip(images, labels, strict=True))

    def test_training_pixels_have_mean_zero_and_range_one(self, task):
        assert abs(task.train.inputs.mean(dtype=np.float64)) < 1e-7
        assert np.ptp(task.train.inputs) == 1

    def test_each_digit_is_held_out_equally_often(self, task):
        counts = [np.bincount(split.targets).tolist() for split in splits(task)[1:]]
        assert counts == [[20] * 10, [20] * 10, [30] * 10]

    def test_the_nearest_training_image_names_most_digits(self, task):
        train, test = (split.inputs.reshape(len(split), -1) for split in (task.train, task.test))
        nearest = ((test[:, None] - train) ** 2).sum(-1).argmin(1)
        assert (task.train.targets[nearest] == task.test.targets).mean() > 0.96

    def test_distances_are_those_of_the_grid(self, task):
        assert task.distances[0, 15] == pytest.approx(np.sqrt(18))
        assert task.distances[0, 1] == task.distances[0, 4] == 1


class TestText:
    def test_the_help_topics_are_cut_in_order(self):
        task = tasks.load(Asked("text"))
        stream = text.help_topics()
        position = 0
        for split in splits(task):
            size = split.inputs.size
            assert split.inputs.tobytes() == stream[position : position + size]
            assert split.targets.astype(np.uint8).tobytes() == stream[position + 1 : position + size + 1]
            position += size + 1
        assert len(stream) - position < task.length
        assert [len(split) for split in splits(task)[1:]] == [200, 200, 300]
        assert task.causal
        assert task.features == task.outputs == 256

    def test_a_stream_is_the_same_text_in_longer_examples_of_several_chunks(self):
        stream = tasks.load(Asked("text", length=16, stream=True, chunks=3, truncation=2))
        plain = tasks.load(Asked("text", length=48))
        for one, other in zip(splits(stream), splits(plain), strict=True):
            np.testing.assert_array_equal(one.inputs, other.inputs)
            np.testing.assert_array_equal(one.targets, other.targets)
        assert (stream.sight, stream.chunks, stream.truncation) == (16, 3, 2)
        assert stream.digest != plain.digest
        assert tasks.load(Asked("text", stream=True)).chunks == 4

    @given(st.binary(min_size=80 * 3 + 4, max_size=600).map(lambda data: bytes(byte & 127 for byte in data)))
    def test_no_byte_is_in_two_regions(self, corpus):
        task = tasks.load(Asked("text", length=3), corpus)
        pieces = [
            np.append(split.inputs.ravel(), split.targets.ravel()[-1]).astype(np.uint8)
            for split in splits(task)
        ]
        assert corpus.startswith(b"".join(piece.tobytes() for piece in pieces))
        assert all(len(split) >= 8 for split in splits(task))

    def test_a_corpus_may_have_letters_of_several_bytes(self, tmp_path):
        file = tmp_path / "corpus.txt"
        file.write_text("sch\u00f6n " * 200, encoding="utf-8")
        asked = Asked("text", path=str(file), length=4)
        data = tasks.corpus(asked)
        assert data == file.read_bytes()
        assert tasks.load(asked, data).digest != tasks.load(asked, data.upper()).digest

    def test_no_path_is_no_corpus(self):
        assert tasks.corpus(Asked("text")) is None

    def test_a_missing_file(self, tmp_path):
        with pytest.raises(ConfigError, match=r"task.path='.*none.txt' is unusable: there is no such file"):
            tasks.corpus(Asked("text", path=str(tmp_path / "none.txt")))

    def test_a_directory(self, tmp_path):
        with pytest.raises(ConfigError, match="it is a directory, and one file is needed"):
            tasks.corpus(Asked("text", path=str(tmp_path)))

    def test_an_unreadable_file(self, tmp_path, monkeypatch):
        def refuse(path):
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(Path, "read_bytes", refuse)
        with pytest.raises(ConfigError, match=r"cannot be read \(Permission denied\)"):
            tasks.corpus(Asked("text", path=str(tmp_path / "mine.txt")))

    def test_a_name_that_no_file_can_have(self):
        with pytest.raises(ConfigError, match="it is no file name"):
            tasks.corpus(Asked("text", path="a\0b"))

    def test_bytes_that_are_no_text_say_where(self):
        with pytest.raises(ConfigError, match=r"corpus a\.bin is not UTF-8: byte 700 is 0xff"):
            tasks.load(Asked("text", path="a.bin", length=2), b"x" * 700 + b"\xff" + b"x" * 700)

    def test_the_shortest_corpus_is_the_one_that_the_error_names(self):
        sentence = "corpus a.txt has 643 bytes, but sequences of 8 bytes need 644"
        with pytest.raises(ConfigError, match=sentence):
            tasks.load(Asked("text", path="a.txt", length=8), b"x" * 643)
        task = tasks.load(Asked("text", path="a.txt", length=8), b"x" * 644)
        assert [len(split) for split in splits(task)] == [56, 8, 8, 8]

    def test_the_help_topics_are_too_short_for_very_long_sequences(self):
        with pytest.raises(ConfigError, match=r"the corpus of CPython's help topics has .* need 2400004"):
            tasks.load(Asked("text", length=30_000))

    def test_a_corpus_is_not_replaced_by_the_help_topics(self):
        with pytest.raises(ValueError, match=r"task.path is 'a\.txt', but its bytes were not given"):
            tasks.load(Asked("text", path="a.txt"))

    @pytest.mark.parametrize(
        ("asked", "sentence"),
        [
            ({"length": 32_769}, "task.length is 32769, but the task 'text' takes 2 to 32768 tokens"),
            (
                {"length": 2, "chunks": 32_769},
                "task.chunks is 32769, but a stream .* 'text' has 2 to 32768 chunks",
            ),
            ({"chunks": 1}, "task.chunks is 1, but a stream of the task 'text' has 2 to 1024 chunks"),
            ({"truncation": 5}, "task.truncation is 5, but gradients flow over 1 to 4 chunks"),
            ({"truncation": 0}, "task.truncation is 0, but gradients flow over 1 to 4 chunks"),
            ({"length": 10_000, "chunks": 6}, "sequences of 60000 bytes need 4800004; .* or task.chunks"),
        ],
    )
    def test_a_stream_that_cannot_be_cut_so(self, asked, sentence):
        with pytest.raises(ConfigError, match=sentence):
            tasks.load(Asked("text", stream=True, **asked))

    def test_an_empty_corpus_is_too_short(self):
        with pytest.raises(ConfigError, match="has 0 bytes"):
            tasks.load(Asked("text", path="a.txt"), b"")


class TestToys:
    @pytest.mark.parametrize("length", [3, 16, 100])
    def test_sine_obeys_its_recurrence(self, length):
        for split in splits(tasks.load(Asked("sine", length=length))):
            x = np.concatenate([split.inputs[..., 0], split.targets], axis=1).astype(np.float64)
            # x[t] + x[t-2] = 2 cos(w) x[t-1] for every sine; the best 2 cos(w) is fitted to each example.
            sums, middle = x[:, 2:] + x[:, :-2], x[:, 1:-1]
            slope = (sums * middle).sum(1, keepdims=True) / (middle**2).sum(1, keepdims=True)
            np.testing.assert_allclose(sums, slope * middle, atol=1e-6)
            assert slope.min() > -1e-3  # a quarter of a cycle a token at most

    def test_no_sine_is_in_two_splits(self):
        inputs, _ = everything(tasks.load(Asked("sine")))
        assert distinct(inputs) == len(inputs) == 4000

    @pytest.mark.parametrize("length", [8, 11, 32])
    def test_xor_is_that_of_the_marked_bits(self, length):
        inputs, targets = everything(tasks.load(Asked("xor", length=length)))
        assert distinct(inputs) == len(inputs) == 4000
        assert set(np.unique(inputs[..., 0])) == {-1, 1}
        for tokens, target in zip(inputs, targets, strict=True):
            first, second = (bit for bit, mark in tokens if mark == 1)
            assert (tokens[:, 1] == 0).sum() == length - 2
            assert target == (first != second)

    @pytest.mark.parametrize("length", [8, 10, 13, 32])
    def test_parity_is_that_of_the_bits(self, length):
        task = tasks.load(Asked("parity", length=length))
        inputs, targets = everything(task)
        assert distinct(inputs) == len(inputs) == min(2**length, 8192)
        np.testing.assert_array_equal(np.prod(-inputs[..., 0], axis=1), np.where(targets == 1, -1, 1))
        assert len(task.train) > len(inputs) // 2

    @pytest.mark.parametrize("name", ["xor", "parity"])
    def test_guessing_is_right_half_the_time(self, name):
        for split in splits(tasks.load(Asked(name)))[1:]:
            assert split.targets.mean() == 0.5


class TestDividing:
    @given(
        st.lists(st.integers(6, 12), min_size=1, max_size=4),
        st.integers(0, 3),
        st.integers(0, 3),
        st.integers(0),
    )
    def test_sets_are_disjoint_balanced_and_complete(self, counts, first, second, seed):
        labels = np.repeat(np.arange(len(counts)) * 3, counts)
        sizes = (first * len(counts), second * len(counts))
        sets = stratified(labels, sizes, np.random.default_rng(seed))
        assert sorted(np.concatenate(sets).tolist()) == list(range(len(labels)))
        for chosen, share in zip(sets, (first, second), strict=False):
            assert [(labels[chosen] == label).sum() for label in np.unique(labels)] == [share] * len(counts)

    def test_sizes_must_fit_the_classes(self):
        with pytest.raises(ValueError, match=r"multiples of the 2 classes; got \(3,\)"):
            stratified(np.array([0, 0, 0, 1, 1, 1]), (3,), np.random.default_rng(0))

    def test_classes_must_be_large_enough(self):
        with pytest.raises(ValueError, match="each class needs 3 members"):
            stratified(np.array([0, 0, 0, 1, 1]), (4, 2), np.random.default_rng(0))

    @given(st.integers(1, 50), st.integers(1, 60))
    def test_a_cap_keeps_different_examples_from_all_over(self, size, examples):
        train = Split(np.arange(size), np.arange(size))
        kept = capped(train, examples).inputs
        assert len(kept) == min(size, examples)
        gaps = np.diff(np.append(kept, size))
        assert gaps.min(initial=size) >= 1
        assert gaps.max() - gaps.min() <= 1

    def test_a_cap_keeps_the_labels_of_what_it_keeps(self):
        kept = capped(Split(np.arange(9), np.arange(9), 10 * np.arange(9)), 4)
        np.testing.assert_array_equal(kept.labels, 10 * kept.inputs)

    def test_a_cap_of_nothing(self):
        with pytest.raises(ConfigError, match=r"task\.examples is 0; it must be at least 1"):
            capped(Split(np.arange(3), np.arange(3)), 0)


MINE = """
from dataclasses import replace
import numpy as np
from organisms.task import Split, Task
from runs.errors import ConfigError

class Halves:
    def __new__(cls, options, corpus):
        split = Split(np.zeros((options.examples, 2, 1), np.float32), np.zeros(options.examples, np.int64))
        return Task("halves", "class", *[split] * 4, "continuous", 1, 2, np.zeros((2, len(corpus or b"?"))))

def nothing(options, corpus): pass
def number(options, corpus): return 3
def broken(options, corpus): return 1 / 0
def picky(options, corpus): raise ConfigError("halves need an even number")
constant = 3
"""


class TestUsersTask:
    @pytest.fixture(autouse=True)
    def _module(self, tmp_path, monkeypatch):
        package = tmp_path / "plasmodia_example"
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / "mine.py").write_text(MINE)
        (package / "needy.py").write_text("import a_package_that_nobody_has")
        (package / "faulty.py").write_text("x = (")
        monkeypatch.syspath_prepend(tmp_path)

    def test_it_is_found_by_its_import_path_and_given_options_and_corpus(self):
        task = tasks.load(Asked("plasmodia_example.mine:Halves", path="ignored", examples=7), b"abc")
        assert task.name == "halves"
        assert len(task.train) == 7
        assert task.positions.shape == (2, 3)

    @pytest.mark.parametrize(
        ("name", "sentence"),
        [
            (
                "plasmodia_exampel.mine:Halves",
                "there is no module 'plasmodia_exampel' .*mean plasmodia_example?",
            ),
            (
                "plasmodia_example.mime:Halves",
                r"no module 'plasmodia_example.mime' .*mean plasmodia_example.mine\?",
            ),
            ("plasmodia_example.mine.a:Halves", "there is no module 'plasmodia_example.mine.a'"),
            (
                "plasmodia_example.mine:Halfs",
                r"'plasmodia_example.mine' has no 'Halfs'; did you mean Halves\?",
            ),
            ("plasmodia_example.needy:Halves", "whose module needs 'a_package_that_nobody_has': install it"),
            ("plasmodia_example.faulty:Halves", "importing its module raised SyntaxError"),
            ("plasmodia_example.mine:constant", "a value of type int; it must be callable as"),
            ("plasmodia_example.mine:nothing", "gave None; it must give an organisms.task.Task"),
            (
                "plasmodia_example.mine:number",
                "gave a value of type int; it must give an organisms.task.Task",
            ),
            ("plasmodia_example.mine:broken", "raised ZeroDivisionError: division by zero"),
            ("plasmodia_example.mine:picky", "^halves need an even number$"),
            ("plasmodia_example.mine:", "an import path has the form 'package.module:Name'"),
            (":Halves", "an import path has the form 'package.module:Name'"),
            ("../mine:Halves", "an import path has the form 'package.module:Name'"),
        ],
    )
    def test_what_cannot_be_used_says_why(self, name, sentence):
        with pytest.raises(ConfigError, match=sentence):
            tasks.load(Asked(name, examples=1))
