import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive_store.errors import YamlError
from archive_store.strict_yaml import DEEPEST, LARGEST, LONGEST, read, scalar, write


# Examples of the YAML 1.2 specification, section 10.3.2, and what YAML 1.1 reads otherwise.
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("-2.", -2.0),
        ("12e03", 12000.0),
        ("0o7", 7),
        ("0x3A", 58),
        ("-19", -19),
        ("017", 17),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("no", "no"),
        ("off", "off"),
        ("yes", "yes"),
        ("none", "none"),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("2001-12-14", "2001-12-14"),
        ("tRUE", "tRUE"),
        ("-.inf", -math.inf),
        ("1e", "1e"),
        ("nan", "nan"),
        ("9" * (LONGEST + 1), "9" * (LONGEST + 1)),
        ("0x" + "f" * LONGEST, "0x" + "f" * LONGEST),
    ],
)
def test_scalars_follow_the_core_schema(text, value):
    got = scalar(text)
    assert got == value
    assert type(got) is type(value)


def test_nan_is_read_so_that_it_can_be_refused_by_key():
    assert math.isnan(scalar(".nan"))


def test_quoted_scalars_are_text():
    assert read("{a: '1', b: \"true\", c: 1}", "x").value == {"a": "1", "b": "true", "c": 1}


def test_block_scalars_are_text():
    assert read("a: |\n  12\n", "x").value == {"a": "12\n"}


def test_a_byte_order_mark_is_no_part_of_the_first_key():
    assert read(b"\xef\xbb\xbfseed: 3", "x").value == {"seed": 3}


def test_duplicate_keys_are_problems_with_both_lines_and_the_first_is_kept():
    document = read("seed: 1\ntask: {name: xor, name: sine}\nseed: 2\n", "x")
    assert document.value == {"seed": 1, "task": {"name": "xor"}}
    assert document.problems == (
        "line 2: the key name was already given in line 2",
        "line 3: the key seed was already given in line 1",
    )


def test_keys_that_are_no_text_are_problems():
    assert read("1: 2\n", "x").problems == ("line 1: the key 1 is not text; put it in quotes",)


BOMB = "a: &a [x,x,x,x]\nb: &b [*a,*a,*a,*a]\nc: [*b,*b]\n"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (BOMB, r"^x, line 2: the alias \*a is not allowed; write the value out$"),
        ("a: !!python/object:os.system 1", r"^x, line 1: the tag .*os.system is not allowed"),
        ("a: 1\n---\nb: 2\n", "line 2: a second document starts"),
        ("a: [1, 2\nb: 3\n", r"line 2, column \d+: not YAML"),
        ("a: '1", "line 1, column 6: not YAML"),
        ("a: \x00", "^x: not YAML: .*special characters are not allowed"),
        (b"name: caf\xe9\n", r"^x: not UTF-8 \(byte 9\); save it as UTF-8$"),
        ("a: 1\n".encode("utf-16"), "not UTF-8"),
        ('a: "\\UFFFFFFFF"', "^x: not YAML: "),
        ("[" * (DEEPEST + 2), f"nested more than {DEEPEST} deep"),
        ("#" * (LARGEST + 1), "larger than 1,000,000 bytes"),
    ],
)
def test_what_is_refused_is_named_with_its_line(data, message):
    with pytest.raises(YamlError, match=message):
        read(data, "x")


def test_a_thousand_brackets_end_in_a_sentence_and_not_in_a_stack_overflow():
    with pytest.raises(YamlError, match="nested more than"):
        read("[" * 100_000, "x")


def test_an_empty_text_is_null():
    assert read("# nothing\n", "x").value is None


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(
        ["1e3", "0o7", "0x1", "no", "off", "null", "~", "<<", "=", "- a", "a: b", "#", "1_0", ".nan"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(PLAIN)
def test_what_is_written_reads_back_as_the_same(value):
    document = read(write(value), "x")
    assert document.problems == ()
    assert document.value == value
    assert re.fullmatch(r"[\x00-\x7f]*", write(value))
