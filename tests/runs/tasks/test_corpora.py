"""TinyStories and WikiText: files of their published forms, and what the package datasets loads."""

import io
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs import tasks
from runs.errors import ConfigError
from runs.tasks import corpora
from runs.tasks.text import decoded
from tests.runs.tasks.test_tasks import Asked

STORIES = [f"Once upon a time there was a bird called {name}.\nIt sang." for name in "ABCDEFGHIJ"]
ARTICLES = [
    f" = Bird {n} = \n\n It sings . \n\n = = Habitat = = \n\n Trees .\n\n" for n in range(10)
]  # as wiki.train.raw has them


def parquet(rows):
    data = io.BytesIO()
    pd.DataFrame({"text": rows}).to_parquet(data)
    return data.getvalue()


def text_of(task):
    """Return the bytes of all splits but the last target of each."""
    splits = (task.train, task.probe, task.validation, task.test)
    return b"".join(split.inputs.astype(np.uint8).tobytes() for split in splits)


@given(st.lists(st.text(min_size=1).map(str.strip).filter(lambda story: story and "<|" not in story)))
def test_stories_are_what_separators_lie_between(found):
    assert corpora.stories("\n<|endoftext|>\n".join(found) + "\n<|endoftext|>") == found


def test_an_article_begins_with_its_heading_and_has_its_sections():
    found = corpora.articles("\n" + "".join(ARTICLES))
    assert found == [article.strip() for article in ARTICLES]


def test_a_zero_byte_ends_each_document():
    data = "\n<|endoftext|>\n".join(STORIES).encode()
    task = tasks.load(Asked("tinystories", path="stories.txt", length=4), data)
    assert (task.name, task.kind, task.outputs, task.causal) == ("tinystories", "token", 256, True)
    assert text_of(task).startswith(STORIES[0].encode() + b"\0" + STORIES[1].encode())


@pytest.mark.parametrize(
    ("name", "file", "rows"),
    [
        ("tinystories", "\n<|endoftext|>\n".join(STORIES), STORIES),
        ("wikitext", "".join(ARTICLES), [line + "\n" for line in "".join(ARTICLES).split("\n")]),
    ],
)
def test_a_table_of_texts_is_the_same_corpus_as_a_file(name, file, rows):
    first = tasks.load(Asked(name, path="a.txt", length=4), file.encode())
    second = tasks.load(Asked(name, path="a.parquet", length=4), parquet(rows))
    assert first.digest == second.digest


@pytest.mark.parametrize(
    ("path", "data", "sentence"),
    [
        ("a.txt", b"<|endoftext|>\n", "the corpus a.txt has no documents of tinystories"),
        ("a.txt", b"\xff", "the corpus a.txt is not UTF-8: byte 0 is 0xff"),
        ("a.txt", b"too short", "the corpus a.txt has 10 bytes, but sequences of 64 bytes need 5124"),
        ("a.parquet", b"nonsense", "a.parquet has no column 'text' that can be read"),
        ("a.parquet", parquet([1, 2]), "the column 'text' of a.parquet must hold texts alone"),
    ],
)
def test_what_is_no_such_corpus_is_refused_in_one_sentence(path, data, sentence):
    with pytest.raises(ConfigError, match=sentence) as caught:
        tasks.load(Asked("tinystories", path=path), data)
    assert "\n" not in str(caught.value)


def test_a_corpus_must_be_given_to_its_builder():
    with pytest.raises(ValueError, match="the corpus of the task 'wikitext' was not given; read it with"):
        tasks.load(Asked("wikitext"))


def test_without_the_package_its_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(
        ConfigError, match=r"package datasets \(the extra 'data'\); install it, or give a file of it"
    ):
        tasks.corpus(Asked("tinystories"))


def test_what_the_package_loads_is_the_corpus_of_the_files(tmp_path):
    """A folder of the repository's name stands for it, so that nothing is downloaded."""
    folder = tmp_path / "roneneldan" / "TinyStories"
    folder.mkdir(parents=True)
    (folder / "train.parquet").write_bytes(parquet(STORIES))
    script = (
        "import sys\nfrom runs.tasks.corpora import fetched\nfrom runs.errors import ConfigError\n"
        "sys.stdout.buffer.write(fetched('tinystories'))\n"
        "try:\n    fetched('wikitext')\nexcept ConfigError as error:\n    sys.stderr.write(str(error))\n"
    )
    offline = {"HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1", "PATH": "", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        cwd=tmp_path,
        env=offline,
        capture_output=True,
        check=True,
    )
    assert decoded(done.stdout, "") == "\n<|endoftext|>\n".join(STORIES)
    told = done.stderr.decode().splitlines()[-1]
    assert told.startswith("the task 'wikitext' cannot be loaded by datasets (")
    assert told.endswith("try again, or give a file of it as task.path")
