import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runs.errors import ConfigError
from runs.models.keeping.answers import check_holds, check_suffix, encoded
from tests.fixtures.small_models import CLASSES, SEQUENCES

FOUND = np.array([[0.5, -1.25, 3e-7], [0.1, 2.0, 1.0]], dtype=np.float32)
NAMED = replace(CLASSES, outputs=3, classes=("no", "yes", "a, b"))


def rows_of(signature, found):
    return list(csv.reader(io.StringIO(encoded(found, signature, ".csv").decode())))


def test_a_table_has_the_names_of_classes_and_every_bit_of_the_outputs():
    head, *rows = rows_of(NAMED, FOUND)
    assert head == ["class", "logit of no", "logit of yes", "logit of a, b"]
    assert [row[0] for row in rows] == ["no", "yes"]
    assert np.array_equal(np.array([row[1:] for row in rows], dtype=np.float32), FOUND)


def test_classes_without_names_are_numbers_and_values_stand_for_themselves():
    head, *rows = rows_of(replace(NAMED, classes=()), FOUND)
    assert (head[1], [row[0] for row in rows]) == ("logit of 0", ["0", "1"])
    head, *rows = rows_of(replace(NAMED, kind="value", classes=()), FOUND)
    assert (head, rows[1]) == (["value_0", "value_1", "value_2"], ["0.1", "2.0", "1.0"])


def test_an_array_is_what_numpy_reads():
    assert np.array_equal(np.load(io.BytesIO(encoded(FOUND, NAMED, ".npy")), allow_pickle=False), FOUND)


def test_answers_at_each_token_are_no_table():
    check_suffix(Path("a.csv"))
    check_holds(Path("a.csv"), CLASSES)
    check_holds(Path("a.npy"), SEQUENCES)
    with pytest.raises(
        ConfigError, match=r"--out must end in \.npy, not a\.csv: the model answers at each token"
    ):
        check_holds(Path("a.csv"), SEQUENCES)
    with pytest.raises(ConfigError, match=r"--out must be a file that ends in \.npy or \.csv, not a\.txt"):
        check_suffix(Path("a.txt"))
