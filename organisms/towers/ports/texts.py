"""Texts as tokens: checked, so that none is cut off or lost unasked."""

from typing import Any

from torch import Tensor

from organisms.towers.ports.source import Source


def tokenizer(source: Source, transformers: Any, words: int) -> Any:
    """Return the tokenizer of a source.

    Parameters
    ----------
    source
        Where the model is.
    transformers
        The library.
    words
        How many different tokens the model knows.

    Raises
    ------
    ValueError
        If it knows no words, because its files are missing, or more than the model.
    OSError
        If it cannot be read.
    """
    with source.reading(transformers):
        found = transformers.AutoTokenizer.from_pretrained(
            source.place, trust_remote_code=False, **source.options()
        )
    if len(found) <= len(set(found.all_special_ids)):
        raise ValueError(
            f"port {source.port!r} finds no words of a tokenizer in {source.place}: save it there too, beside the model"
        )
    if len(found) > words:
        raise ValueError(
            f"port {source.port!r} finds a tokenizer of {len(found)} tokens in {source.place}, but the model knows "
            f"{words}: it is that of another model"
        )
    return found


def checked_length(port: str, max_length: int | None) -> int | None:
    """Return the number of tokens that texts are cut off at.

    Raises
    ------
    ValueError
        If it is neither None nor a positive integer.
    """
    if max_length is not None and (not isinstance(max_length, int) or max_length < 1):
        raise ValueError(f"max_length of port {port!r} must be at least 1, or None, but is {max_length!r}")
    return max_length


def checked(port: str, raw: Any) -> list[str]:
    """Return one text or a batch of them as a list.

    Parameters
    ----------
    port
        Name of the port, for messages.
    raw
        A text, or a list or tuple of texts.

    Raises
    ------
    TypeError
        If something is no text.
    ValueError
        If there is none.
    """
    batch = list(raw) if isinstance(raw, list | tuple) else [raw]
    if not batch:
        raise ValueError(f"port {port!r} must be given at least one text, but the batch is empty")
    for n, each in enumerate(batch):
        if not isinstance(each, str):
            raise TypeError(f"port {port!r} reads texts, but number {n} is a {type(each).__name__}")
    return batch


def tokens(
    port: str, texts: list[str], words: Any, longest: int, max_length: int | None, **options: Any
) -> dict[str, Tensor]:
    """Return ``input_ids`` and ``attention_mask``, both [B, T], padded behind.

    Parameters
    ----------
    port
        Name of the port, for messages.
    texts
        B texts.
    words
        The tokenizer.
    longest
        Tokens that the model can read.
    max_length
        Tokens that a text is cut off at; None: a text that the model cannot read whole is refused.
    **options
        Others of the tokenizer.

    Raises
    ------
    ValueError
        If a text is too long, or has no tokens.
    """
    limit = {} if max_length is None else {"truncation": True, "max_length": min(max_length, longest)}
    prepared = words(texts, padding=True, padding_side="right", return_tensors="pt", **limit, **options)
    lengths = prepared["attention_mask"].sum(dim=1).tolist()
    for n, length in enumerate(lengths):
        if length == 0:
            raise ValueError(f"port {port!r} cannot encode text number {n}, {texts[n]!r}: it has no tokens")
        if length > longest:
            raise ValueError(
                f"port {port!r} reads up to {longest} tokens, but text number {n} has {length}: shorten it, or have it "
                "cut off by max_length"
            )
    return {key: prepared[key] for key in ("input_ids", "attention_mask")}
