"""A table of the user's as a task: what becomes of its columns and rows, and what is refused."""

import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs import tasks
from runs.config.reader import load
from runs.errors import ConfigError
from runs.tasks.table.build import NAMES, encoded
from tests.runs.tasks.test_tasks import Asked

ROWS = 100


def frame(rows=ROWS):
    draws = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": draws.integers(18, 80, rows),
            "town": draws.choice(["Bern", "Genf", "Zug"], rows),
            "member": draws.random(rows) < 0.5,
            "pay": draws.normal(5.0, 2.0, rows),
            "label": draws.choice(["no", "yes"], rows, p=[0.7, 0.3]),
        }
    )


def task_of(table, **asked):
    asked = {"target": "label"} | asked
    return tasks.load(Asked("table", path="t.csv", **asked), table.to_csv(index=False).encode())


def everything(task):
    return np.concatenate([getattr(task, name).inputs for name in NAMES])


def test_every_column_is_a_token_with_features_of_its_own():
    task = task_of(frame())
    assert (task.kind, task.outputs, task.length, task.features) == ("class", 2, 4, 1 + 3 + 2 + 1)
    used = (everything(task) != 0).any(axis=0)
    blocks = [(0, 1), (1, 4), (4, 6), (6, 7)]
    for column, (start, end) in enumerate(blocks):
        assert used[column, start:end].all()
        assert not np.delete(used[column], range(start, end)).any()


def test_numbers_are_standardised_by_the_training_rows_and_texts_are_one_of_theirs():
    task = task_of(frame())
    ages = task.train.inputs[:, 0, 0].astype(np.float64)
    assert ages.mean() == pytest.approx(0, abs=1e-6)
    assert ages.std() == pytest.approx(1, abs=1e-6)
    assert abs(task.test.inputs[:, 0, 0].mean()) > 1e-3
    assert (everything(task)[:, 1].sum(-1) == 1).all()


def test_a_task_knows_the_names_of_its_classes_in_the_order_of_their_numbers():
    table = frame()
    assert task_of(table).classes == tuple(sorted(set(table["label"].astype(str))))
    assert task_of(table, predict="value", target="age", columns=("pay",)).classes == ()


def test_a_text_that_no_training_row_has_is_none_of_the_known():
    table = frame().assign(part=lambda t: np.resize(np.array(NAMES), len(t)))
    table.loc[table["part"] == "test", "town"] = "Olten"
    task = task_of(table, split="part")
    assert (task.test.inputs[:, 1] == 0).all()
    assert len(task.train) == 25


@given(st.lists(st.integers(0, ROWS - 1), min_size=1, max_size=5))
def test_other_rows_are_encoded_as_the_tables_own(chosen):
    """In any order, without the target, beside columns that are not read."""
    table = frame()
    asked = Asked("table", path="t.csv", target="label")
    corpus = table.to_csv(index=False).encode()
    whole = encoded(asked, corpus, table)
    task = tasks.load(asked, corpus)
    for name in NAMES:
        rows = [np.flatnonzero((whole == each).all((1, 2)))[0] for each in getattr(task, name).inputs[:3]]
        assert np.array_equal(whole[rows], getattr(task, name).inputs[:3])
    rows = table.iloc[chosen].drop(columns="label").assign(more=1)[["more", "town", "pay", "member", "age"]]
    assert np.array_equal(encoded(asked, corpus, rows), whole[chosen])


def test_a_text_that_the_table_lacks_is_none_of_the_known():
    table = frame()
    rows = table.head(2).assign(town=["Olten", table["town"][1]])
    found = encoded(Asked("table", path="t.csv", target="label"), table.to_csv(index=False).encode(), rows)
    assert not found[0, 1].any()
    assert found[1, 1].sum() == 1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"age": None}, "the rows have no column 'age', which the model reads; they have ages"),
        ({"age": "old"}, r"the column 'age' of the rows must hold numbers, as it does in t\.csv"),
        ({"age": [1.0, np.nan]}, r"the column 'age' of the rows lacks values, which it never does in t\.csv"),
        ({"age": [1.0, np.inf]}, "the column 'age' has infinite values"),
    ],
)
def test_rows_of_other_columns_are_refused(change, sentence):
    table = frame()
    rows = (
        table.head(2).rename(columns={"age": "ages"})
        if change == {"age": None}
        else table.head(2).assign(**change)
    )
    asked = Asked("table", path="t.csv", target="label", missing="fill")
    with pytest.raises(ConfigError, match=sentence):
        encoded(asked, table.to_csv(index=False).encode(), rows)


def test_where_the_table_is_not_known_rows_cannot_be_encoded():
    with pytest.raises(
        ConfigError, match=r"the table that the model was trained on is not known; give tokens as \.npy"
    ):
        encoded(Asked("table"), b"", frame())


def test_classes_are_in_order_and_each_has_its_share_of_every_split():
    task = task_of(frame(1000))
    sizes = [len(getattr(task, name)) for name in NAMES]
    assert sizes == pytest.approx([600, 100, 100, 200], abs=2)
    shares = [getattr(task, name).targets.mean() for name in NAMES]
    assert max(shares) - min(shares) < 0.02
    assert 0.2 < min(shares) < 0.4


@given(seed=st.integers(0, 2**31))
def test_splits_are_disjoint_complete_and_drawn_by_their_number_alone(seed):
    table = pd.DataFrame({"row": np.arange(ROWS), "y": np.linspace(0, 1, ROWS)})
    one, same = (task_of(table, target="y", split=seed) for _ in range(2))
    assert one.digest == same.digest
    assert len(np.unique(everything(one)[:, 0, 0])) == ROWS


def test_another_number_draws_other_splits():
    assert task_of(frame()).digest != task_of(frame(), split=1).digest


@pytest.mark.parametrize(
    ("values", "asked", "kind", "outputs"),
    [
        (["a", "b"], None, "class", 2),
        ([True, False], None, "class", 2),
        ([3, 5, 9], None, "class", 3),
        (range(50), None, "value", 1),
        ([0.5, 1.0], None, "value", 1),
        ([0.5, 1.0], "class", "class", 2),
        ([3, 5, 9], "value", "value", 1),
    ],
)
def test_what_the_target_holds_says_what_it_is_unless_asked_otherwise(values, asked, kind, outputs):
    table = frame().assign(label=np.resize(np.array(values), ROWS))
    task = task_of(table, predict=asked)
    assert (task.kind, task.outputs) == (kind, outputs)


def test_missing_values_are_refused_or_a_feature_of_their_own():
    table = frame()
    table.loc[[2, 40], "pay"] = None
    with pytest.raises(
        ConfigError, match=r"the column 'pay' lacks 2 of 100 values; fill them .*missing=fill"
    ):
        task_of(table)
    filled = everything(task_of(table, missing="fill"))
    assert filled.shape[-1] == 8
    assert sorted(np.unique(filled[:, 3, 7])) == [0, 1]
    assert filled[:, 3, 7].sum() == 2
    assert (filled[filled[:, 3, 7] == 1][:, 3, 6] == 0).all()


def npy(array):
    data = io.BytesIO()
    np.save(data, array, allow_pickle=True)
    return data.getvalue()


def as_npz(table):
    data = io.BytesIO()
    np.savez(data, x=table[["age", "pay"]].to_numpy(), label=table["label"].to_numpy(str))
    return data.getvalue()


def as_parquet(table):
    data = io.BytesIO()
    table.to_parquet(data)
    return data.getvalue()


def as_npy(table):
    data = io.BytesIO()
    fields = table[["age", "pay", "label"]].to_records(index=False, column_dtypes={"label": "U3"})
    np.save(data, np.array(fields))
    return data.getvalue()


def as_jsonl(table):
    return table.to_json(orient="records", lines=True, double_precision=15).encode()


@pytest.mark.parametrize(
    ("suffix", "written", "columns"),
    [("npz", as_npz, 2), ("npy", as_npy, 2), ("parquet", as_parquet, 4), ("jsonl", as_jsonl, 4)],
)
def test_other_formats_are_read_too(suffix, written, columns):
    asked = Asked("table", path=f"t.{suffix}", target="label")
    task = tasks.load(asked, written(frame()))
    assert task.length == columns
    there = task_of(frame(), columns=("age", "pay") if columns == 2 else None)
    assert np.array_equal(task.train.inputs, there.train.inputs)


def test_the_columns_of_a_matrix_are_numbered():
    data = io.BytesIO()
    np.save(data, frame()[["age", "pay"]].to_numpy())
    task = tasks.load(Asked("table", path="t.npy", target="x_1"), data.getvalue())
    assert (task.kind, task.length) == ("value", 1)


@pytest.mark.parametrize(
    ("change", "asked", "sentence"),
    [
        ({}, {"target": "lable"}, "task.target is 'lable'; .*did you mean label"),
        ({}, {"columns": ("age", "label")}, "task.columns has 'label', which is task.target"),
        ({}, {"columns": ("age", "age")}, "task.columns must name one column or more, each once"),
        ({}, {"columns": ("agee",)}, "task.columns is 'agee'"),
        ({}, {"split": "town"}, "'town' must say train, probe, validation, test of each row, not 'Bern'"),
        ({}, {"predict": "value"}, "the column 'label' does not hold numbers"),
        ({}, {"length": 3}, "task.length is that of a table's columns"),
        ({"age": np.inf}, {}, "the column 'age' has infinite values"),
        (
            {"town": [f"town {n}" for n in range(ROWS)]},
            {},
            "the column 'town' has 100 different texts, over 64; leave",
        ),
        ({"label": "yes"}, {}, "'label' has the one value 'yes'"),
        ({"label": [None, *["a", "b", "b"] * 33]}, {}, "task.target: 1 of 100 rows have no 'label'"),
        (
            {"label": ["rare", *["a", "b", "b"] * 33]},
            {"split": "part"},
            "no training row has 'rare' in 'label'",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(change, asked, sentence):
    part = [("probe", "train", "train", "validation", "test")[row % 5] for row in range(ROWS)]
    table = frame().assign(part=part, **change)
    if "split" not in asked:
        table = table.drop(columns="part")
    with pytest.raises(ConfigError, match=sentence) as caught:
        task_of(table, **asked)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "data", "sentence"),
    [
        ("t.xlsx", b"", r"a table is a file of \.csv, \.jsonl, \.npy, \.npz, \.parquet"),
        ("t.csv", b"", "t.csv cannot be read as a table: No columns"),
        ("t.csv", b"a,label\n", "t.csv has no rows"),
        ("t.csv", b"a,label\n1,x\n", "the table has 1 rows for train, and needs 8"),
        ("t.npz", b"PK nonsense", "t.npz cannot be read as a table"),
        ("t.npy", b"nonsense", "t.npy cannot be read as a table"),
        (
            "t.npy",
            npy(np.zeros(3)),
            r"the array is \(3,\); a table takes \[rows, columns\], or \[rows\] of named",
        ),
        ("t.npy", npy(np.array([{}], dtype=object)), "t.npy cannot be read as a table: .*allow_pickle"),
        ("t.jsonl", b"nonsense", "t.jsonl cannot be read as a table"),
        (
            "t.jsonl",
            b'{"a": [1], "label": "x"}',
            "the column 'a' holds lists or objects; a table takes one value",
        ),
        ("t.parquet", b"nonsense", "t.parquet cannot be read as a table"),
    ],
)
def test_a_file_that_is_no_table_is_refused_in_one_sentence(path, data, sentence):
    with pytest.raises(ConfigError, match=sentence) as caught:
        tasks.load(Asked("table", path=path, target="label"), data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["task.name=table"], "task.path: must name the table"),
        (["task.name=table"], "task.target: must name the column to predict"),
        (["task.target=x"], "task.target: is an option of the task table, digits reads none; leave it out"),
        (["task.missing=drop"], 'task.missing: must be one of refuse or fill, not "drop"'),
    ],
)
def test_the_configuration_says_what_a_table_needs(overrides, sentence):
    with pytest.raises(ConfigError) as caught:
        load("smoke", overrides)
    assert sentence in str(caught.value)
