"""A strict reader of YAML, and a writer that it always understands.

Scalars follow the core schema of YAML 1.2 (section 10.3.2 of the specification): ``1e-3`` is a number,
``no``, ``off`` and ``yes`` are text. PyYAML only scans; its own reading follows YAML 1.1, keeps the last of
two equal keys and expands aliases without end.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import yaml

from archive_store.errors import YamlError

LARGEST = 1_000_000  # bytes
DEEPEST = 20  # nested collections
LONGEST = 3000  # characters of an integer; Python itself writes no number of more than 4300 digits

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOLEAN = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NON_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


@dataclass(frozen=True, slots=True)
class Document:
    """The value of a YAML text, and problems that do not stop the reading.

    Of two equal keys the first is kept here and the second is a problem, so that a caller can report all of them
    at once.
    """

    value: Any
    problems: tuple[str, ...]


def scalar(text: str) -> Any:
    """Return the value of a plain scalar in YAML 1.2's core schema; anything else stays text."""
    if text in _NULL:
        return None
    if text in _BOOLEAN:
        return _BOOLEAN[text]
    if _BASED.fullmatch(text):
        return int(text, 0) if len(text) <= LONGEST else text
    if _INTEGER.fullmatch(text):
        return int(text) if len(text) <= LONGEST else text
    if _FLOAT.fullmatch(text) or _NON_FINITE.fullmatch(text):
        return float(text.replace(".inf", "inf").replace(".nan", "nan") if "n" in text else text)
    return text


def read(data: bytes | str, source: str) -> Document:
    """Read one YAML document.

    Parameters
    ----------
    data
        The text, or its UTF-8 bytes.
    source
        Its name in messages: a file name or the text of an override.

    Raises
    ------
    YamlError
        If it is not UTF-8, larger than 1 MB, not YAML, nested more than 20 deep, holds an alias or a tag, or
        is more than one document. The message names the line.
    """
    text = _decoded(data, source)
    try:
        return _Builder(source).document(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise YamlError(f"{source}{where}: not YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise YamlError(f"{source}: not YAML: {' '.join(str(error).split())}") from None
    except (ValueError, OverflowError) as error:  # PyYAML's, of an escape such as \UFFFFFFFF
        raise YamlError(f"{source}: not YAML: {error}") from None


def _decoded(data: bytes | str, source: str) -> str:
    if len(data) > LARGEST:
        raise YamlError(f"{source}: larger than {LARGEST:,} bytes; a configuration is a page or two")
    if isinstance(data, str):
        return data
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise YamlError(f"{source}: not UTF-8 (byte {error.start}); save it as UTF-8") from None


class _Builder:
    """Builds values from the events of PyYAML's parser."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._problems: list[str] = []

    def document(self, events: Iterator[yaml.Event]) -> Document:
        value = None
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._error(event, "a second document starts; a configuration is one")
                value = self._node(next(events), events, 0)
        return Document(value, tuple(self._problems))

    def _node(self, event: yaml.Event, events: Iterator[yaml.Event], depth: int) -> Any:
        if isinstance(event, yaml.AliasEvent):
            raise self._error(event, f"the alias *{event.anchor} is not allowed; write the value out")
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise self._error(event, f"the tag {tag} is not allowed; write the plain value")
        if depth > DEEPEST:
            raise self._error(event, f"nested more than {DEEPEST} deep")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(events, depth)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(events, depth)
        text = cast(yaml.ScalarEvent, event)  # no other event starts a node
        return scalar(text.value) if text.style is None else text.value

    def _sequence(self, events: Iterator[yaml.Event], depth: int) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(self._node(event, events, depth + 1))
        return items

    def _mapping(self, events: Iterator[yaml.Event], depth: int) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            line = _line(event)
            key = self._node(event, events, depth + 1)
            value = self._node(next(events), events, depth + 1)
            if not isinstance(key, str):
                self._problems.append(f"line {line}: the key {key!r} is not text; put it in quotes")
            elif key in mapping:
                self._problems.append(f"line {line}: the key {key} was already given in line {lines[key]}")
            else:
                mapping[key], lines[key] = value, line
        return mapping

    def _error(self, event: yaml.Event, what: str) -> YamlError:
        return YamlError(f"{self._source}, line {_line(event)}: {what}")


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True  # the reader refuses them


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    # PyYAML leaves 1e3 and 0o7 unquoted: they are text in YAML 1.1 but numbers in 1.2.
    style = None if isinstance(scalar(value), str) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


def _list(dumper: yaml.SafeDumper, value: list[Any]) -> yaml.SequenceNode:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=True)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _list)


def write(value: Any) -> str:
    """Write plain values as YAML (ASCII, keys in their order) that `read` gives back unchanged."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=100)
