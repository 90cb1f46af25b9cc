"""Two published corpora as tasks of the next byte, from their files or through the package `datasets`.

TinyStories (Eldan and Li 2023, arXiv:2305.07759) is stories apart by lines ``<|endoftext|>``; WikiText (Merity et al.
2016, arXiv:1609.07843) is articles, each from a heading ``= Title =`` on. A zero byte ends each document.
"""

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePath

from organisms.task import Task
from runs.errors import ConfigError
from runs.tasks.options import Options
from runs.tasks.text import decoded, next_byte

END = "\0"  # of a document
SEPARATOR = "<|endoftext|>"
HEADING = re.compile(
    r"^ ?= [^=\n]+ = *$", re.MULTILINE
)  # of an article; those of its sections have more signs


@dataclass(frozen=True, slots=True)
class Corpus:
    """Where a corpus is published, and how its documents are told apart.

    Parameters
    ----------
    repository, configuration
        As `datasets.load_dataset` takes them.
    joined
        From the rows of its tables to the text of its files.
    documents
        From the text of its files to documents.
    """

    repository: str
    configuration: str | None
    joined: Callable[[list[str]], str]
    documents: Callable[[str], list[str]]


def stories(text: str) -> list[str]:
    """Return the stories of a file of TinyStories, without the white space around them."""
    return [story for each in text.split(SEPARATOR) if (story := each.strip())]


def articles(text: str) -> list[str]:
    """Return the articles of a file of WikiText, each with its heading; what is before the first is one too."""
    starts = [0, *(match.start() for match in HEADING.finditer(text)), len(text)]
    parts = [text[start:end] for start, end in pairwise(starts)]
    return [article for part in parts if (article := part.strip())]


CORPORA: Mapping[str, Corpus] = {
    "tinystories": Corpus("roneneldan/TinyStories", None, f"\n{SEPARATOR}\n".join, stories),
    "wikitext": Corpus("Salesforce/wikitext", "wikitext-2-raw-v1", "".join, articles),
}


def build(options: Options, corpus: bytes | None = None) -> Task:
    """Build the task of predicting each next byte of the documents of a corpus (`runs.tasks.text.next_byte`).

    Parameters
    ----------
    options
        ``name`` is a key of `CORPORA`; ``path`` is a file of the published form (text, or Parquet with a column
        ``text``), the others are those of the task ``text``.
    corpus
        The bytes of that file, or what `fetched` returned.

    Raises
    ------
    ConfigError
        If they hold no document, or too little text.
    ValueError
        If `corpus` is None.
    """
    if corpus is None:
        raise ValueError(
            f"the corpus of the task {options.name!r} was not given; read it with runs.tasks.corpus"
        )
    source = options.path or options.name
    known = CORPORA[options.name]
    parquet = options.path is not None and PurePath(options.path).suffix.lower() == ".parquet"
    text = known.joined(_rows(corpus, source)) if parquet else decoded(corpus, source)
    documents = known.documents(text)
    if not documents:
        raise ConfigError(f"the corpus {source} has no documents of {options.name}")
    data = "".join(f"{document}{END}" for document in documents).encode("utf-8")
    return next_byte(options, data, source)


def fetched(name: str) -> bytes:
    """Return the training text of a corpus as its files have it, by the package `datasets` (a cache or a download).

    Raises
    ------
    ConfigError
        If the package is not there, or cannot load the corpus.
    """
    corpus = CORPORA[name]
    instead = "or give a file of it as task.path"
    try:
        import datasets
    except ImportError:
        raise ConfigError(
            f"the task {name!r} is loaded by the package datasets (the extra 'data'); install it, {instead}"
        ) from None
    try:
        table = datasets.load_dataset(corpus.repository, corpus.configuration, split="train")
        rows = list(table["text"])
    except Exception as error:  # of the network, a cache, a server or a table
        text = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"the task {name!r} cannot be loaded by datasets ({type(error).__name__}: {text}); try again, {instead}"
        ) from error
    return corpus.joined(rows).encode("utf-8")


def _rows(data: bytes, source: str) -> list[str]:
    """Return the column ``text`` of a Parquet file."""
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise ConfigError(
            "a Parquet file needs pyarrow (the extra 'parquet'); install it, or give the text itself"
        ) from None
    try:
        rows = parquet.read_table(io.BytesIO(data), columns=["text"]).column("text").to_pylist()
    except Exception as error:  # of a parser, for any bytes
        text = " ".join(str(error).split())
        raise ConfigError(f"{source} has no column 'text' that can be read: {text}") from error
    if not all(isinstance(row, str) for row in rows):
        raise ConfigError(f"the column 'text' of {source} must hold texts alone")
    return rows
