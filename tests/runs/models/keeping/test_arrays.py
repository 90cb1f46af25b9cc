import numpy as np
import pytest

from runs.errors import ConfigError
from runs.models.keeping.arrays import read
from tests.fixtures.small_models import CLASSES, SYMBOLS


def test_bytes_of_a_text_are_symbols_and_rows_of_a_table_examples(tmp_path):
    text, table = tmp_path / "text.txt", tmp_path / "table.csv"
    text.write_bytes(bytes(range(14)))
    assert read(text, SYMBOLS).tolist() == [list(range(7)), list(range(7, 14))]
    table.write_text("1,2,3,4,5,6\n7,8,9,10,11,12\n\n")
    assert read(table, CLASSES).tolist() == [[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [10, 11, 12]]]
    assert read(table, SYMBOLS).shape == (2, 6)
    table.write_text("a,b,c\n1,2,3\n")
    assert read(table, CLASSES).shape == (1, 1, 3)


@pytest.mark.parametrize(
    ("name", "content", "signature", "said"),
    [
        ("x.txt", b"abc", CLASSES, r"must be a \.npy or a \.csv file, as the model reads numbers"),
        ("x.txt", b"abc", SYMBOLS, "has 3 bytes, which is no multiple of the 7 of an example"),
        ("x.txt", b"", SYMBOLS, "is empty; give 7 bytes"),
        ("x.npy", b"abc", CLASSES, r"is no \.npy file of numbers"),
        ("x.csv", b"", CLASSES, "has no rows of numbers"),
        ("x.csv", b"1,2\n1", SYMBOLS, "must hold numbers separated by commas, as many in each row"),
        ("x.csv", b"1,two", SYMBOLS, "must hold numbers separated by commas"),
        ("x.csv", b"1,2,3,4", CLASSES, "has 4 numbers in a row, but a token has 3"),
    ],
)
def test_files_that_are_none_are_refused(name, content, signature, said, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        read(tmp_path / name, signature)


def test_objects_are_not_unpickled_and_what_is_missing_is_told(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ConfigError, match=r"is no \.npy file of numbers: Object arrays cannot be loaded"):
        read(tmp_path / "x.npy", CLASSES)
    with pytest.raises(ConfigError, match=r"cannot be read: No such file"):
        read(tmp_path / "nowhere.npy", CLASSES)
