"""The next byte of a text: CPython's own help topics, or a UTF-8 file of the user's."""

from pathlib import Path

import numpy as np

from organisms.task import Split, Task
from runs.errors import ConfigError
from runs.tasks.options import Options, chunks_between, length_between, refuse_kinds
from runs.tasks.splits import capped

LENGTH = 64  # bytes a sequence, unless asked otherwise
CHUNKS = 4  # of a stream, unless asked otherwise
MOST = 65_536  # bytes of a sequence
LEAST_SEQUENCES = 80  # so that probe, validation and test have 8 each
HELD_OUT = (200, 200, 300)  # most sequences of probe, validation and test


def build(options: Options, corpus: bytes | None = None) -> Task:
    """Build the task of predicting each next byte from the ones before it.

    The corpus is cut into four contiguous regions in the order train, probe, validation, test, and each
    region into sequences that do not overlap. A tenth of all sequences, at most 200, 200 and 300, go to
    probe, validation and test; the rest are for training. Tokens are discrete, uint8 [N, S], the
    targets are the bytes one further, and attention is causal. A byte of the corpus takes nine bytes of
    memory in each worker; ``task.examples`` bounds that.

    As a stream, a sequence has several chunks, of which only the one under way is in sight: consecutive chunks of the
    same text are consecutive positions of the stream.

    Parameters
    ----------
    options
        ``length`` is S in bytes, 64 by default; as a stream, that of a chunk.
    corpus
        The text, or None for CPython's help topics (`help_topics`).

    Raises
    ------
    ConfigError
        If the corpus is no UTF-8 or too short, or an option cannot be met.
    ValueError
        If ``path`` names a corpus and `corpus` is None.
    """
    if corpus is None and options.path is not None:
        raise ValueError(
            f"task.path is {options.path!r}, but its bytes were not given; read them with read_corpus"
        )
    source = options.path or ("of CPython's help topics" if corpus is None else "that was given")
    data = help_topics() if corpus is None else decoded(corpus, source).encode()
    return next_byte(options, data, source)


def next_byte(options: Options, data: bytes, source: str) -> Task:
    """Build the task of predicting each next byte of a text, under the name that the options have.

    Parameters
    ----------
    options
        As `build` takes them.
    data
        The text.
    source
        Where it is from, for messages.

    Raises
    ------
    ConfigError
        If the text is too short, or an option cannot be met.
    """
    refuse_kinds(options)
    most = MOST // 2 if options.stream else MOST
    chunk = length_between(options, LENGTH, 2, most, "a sequence needs a byte and one before it")
    length = chunk * chunks_between(options, CHUNKS, MOST // chunk) if options.stream else chunk
    # Each of the four regions has one byte more than its sequences: the last one's last target.
    sequences = (len(data) - 4) // length
    if sequences < LEAST_SEQUENCES:
        raise ConfigError(
            f"the corpus {source} has {len(data)} bytes, but sequences of {length} bytes need "
            f"{LEAST_SEQUENCES * length + 4}; give a longer text or a smaller task.length"
            f"{' or task.chunks' if options.stream else ''}"
        )
    held_out = [min(sequences // 10, most) for most in HELD_OUT]
    counts = [sequences - sum(held_out), *held_out]
    starts = np.cumsum([0, *(count * length + 1 for count in counts)])
    stream = np.frombuffer(data, dtype=np.uint8)
    train, probe, validation, test = (
        _windows(stream[start:], count, length) for start, count in zip(starts, counts, strict=False)
    )
    return Task(
        name=options.name,
        kind="token",
        train=_copied(capped(train, options.examples)),
        probe=_copied(probe),
        validation=_copied(validation),
        test=_copied(test),
        tokens="discrete",
        features=256,
        outputs=256,
        positions=np.arange(length, dtype=np.float64)[:, None],
        causal=True,
        chunk=chunk if options.stream else None,
        truncation=options.truncation if options.stream else None,
    )


def help_topics() -> bytes:
    """Return the texts of ``pydoc_data.topics``, one after the other in the order of their keys, as UTF-8.

    They differ between versions of Python; a run's environment and the task's digest both say which.
    """
    from pydoc_data.topics import topics

    return "".join(topics[key] for key in sorted(topics)).encode("utf-8")


def read_corpus(path: str) -> bytes:
    """Read a user's corpus once, as the bytes that the run's digest covers.

    Raises
    ------
    ConfigError
        If there is no such file, or it is a directory, or it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        reason = "there is no such file"
    except IsADirectoryError:
        reason = "it is a directory, and one file is needed"
    except OSError as error:
        reason = f"it cannot be read ({error.strerror or error})"
    except ValueError as error:  # a name that no file system takes, such as one with a zero byte
        reason = f"it is no file name ({error})"
    raise ConfigError(f"the corpus task.path={path!r} is unusable: {reason}")


def decoded(corpus: bytes, source: str) -> str:
    """Return the text of UTF-8 bytes.

    Raises
    ------
    ConfigError
        If they are none.
    """
    try:
        return corpus.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"the corpus {source} is not UTF-8: byte {error.start} is 0x{corpus[error.start]:02x} "
            f"({error.reason}); convert the file to UTF-8"
        ) from None


def _windows(stream: np.ndarray, count: int, length: int) -> Split:
    """Cut the first ``count`` sequences and, one byte further, their targets, both uint8 [count, length]."""
    end = count * length
    return Split(stream[:end].reshape(count, length), stream[1 : end + 1].reshape(count, length))


def _copied(windows: Split) -> Split:
    """Copy windows into writable memory of their own, the targets as int64."""
    return Split(windows.inputs.copy(), windows.targets.astype(np.int64))
