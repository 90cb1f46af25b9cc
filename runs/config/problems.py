"""Problems of a configuration as sentences: key path, what was wrong, what would be right."""

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from organisms.families import FAMILIES

MOST = 50  # problems that are shown; to look for what each of ten thousand keys may have meant takes half a minute
LONGEST = 120  # characters of a key that are shown


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: the keys that it is about (the first is shown) and a sentence."""

    keys: tuple[str, ...]
    sentence: str

    def __str__(self) -> str:
        key = self.keys[0]
        return f"{key if len(key) <= LONGEST else key[: LONGEST - 3] + '...'}: {self.sentence}"


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean <the known name nearest to word>?``, or nothing if none is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


def shown(value: Any) -> str:
    """Return a value of a configuration as JSON of at most 60 characters."""
    text = json.dumps(value, default=repr)
    return text if len(text) <= 60 else text[:57] + "..."


def sections(model: type[BaseModel]) -> dict[str, type[BaseModel] | None]:
    """Return the keys of a section, with the models of those that are sections themselves."""
    keys: dict[str, type[BaseModel] | None] = {}
    for name, field in model.model_fields.items():
        kind = field.annotation
        is_section = isinstance(kind, type) and issubclass(kind, BaseModel)
        keys[field.alias or name] = kind if is_section else None  # type: ignore[assignment]
    return keys


def paths(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the path of every key that is no section, such as ``organism.capacity``; of items, ``sources[].key``."""
    for key, section in sections(model).items():
        item = _below(model, key)
        if section is None:
            yield prefix + key
        if item is not None:
            yield from paths(item, f"{prefix}{key}{'' if section else '[]'}.")


def problems(errors: Sequence[ErrorDetails], model: type[BaseModel]) -> list[Problem]:
    """Turn pydantic's errors into problems, one for each key; alternatives of a union are joined by "or"."""
    grouped: dict[str, list[ErrorDetails]] = {}
    for error in errors:
        if error["type"] == "too_short" and _has_wrong_items(error, errors):
            continue  # pydantic does not count these
        grouped.setdefault(key_path(error["loc"], model), []).append(error)
    return [
        Problem((path,), _sentence(group, model) if number < MOST else group[0]["msg"])
        for number, (path, group) in enumerate(grouped.items())
    ]


def _has_wrong_items(error: ErrorDetails, errors: Sequence[ErrorDetails]) -> bool:
    depth = len(error["loc"])
    return any(len(other["loc"]) > depth and other["loc"][:depth] == error["loc"] for other in errors)


def key_path(location: Sequence[int | str], model: type[BaseModel]) -> str:
    """Return the location of an error as a key path; pydantic's names for the members of a union are left out."""
    path: list[str] = []
    section: type[BaseModel] | None = model
    for part in location:
        if isinstance(part, int) and path:
            path[-1] += f"[{part}]"
        elif section is not None:
            path.append(quoted(str(part)))
            section = _below(section, str(part))
    return ".".join(path)


def _below(section: type[BaseModel], key: str) -> type[BaseModel] | None:
    """Return the model of what lies below a key: a section, or each item of a list of sections."""
    for name, field in section.model_fields.items():
        if key == (field.alias or name):
            parts = get_args(field.annotation)
            kinds = (field.annotation, *parts, *(inner for part in parts for inner in get_args(part)))
            return next(
                (kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None
            )
    return None


def quoted(key: str) -> str:
    """Return one key of a path, in quotes if it could be mistaken for a path or garbles a terminal."""
    return key if re.fullmatch(r"[\w-]+", key, re.ASCII) else json.dumps(key)


def _sentence(errors: list[ErrorDetails], model: type[BaseModel]) -> str:
    first = errors[0]
    if first["type"] == "extra_forbidden":
        return _unknown(first["loc"], model)
    if first["type"] == "missing":
        return "must be given"
    if first["type"] == "value_error":
        return str(first["ctx"]["error"])
    if first["type"] == "model_type":
        keys = ", ".join(_keys(first["loc"], model))
        return f"must be a section with keys {keys}, not {shown(first['input'])}"
    rights = " or ".join(dict.fromkeys(_right(error) for error in errors))
    return f"must be {rights}, not {shown(first['input'])}{_near_literal(errors)}"


def _unknown(location: Sequence[int | str], model: type[BaseModel]) -> str:
    word = str(location[-1])
    everywhere = list(paths(model))
    if word in everywhere:
        section, key = word.rsplit(".", 1)
        return f"a dotted key belongs on the command line; write the key {key} under the section {section}"
    known = _keys(location[:-1], model)
    if location[:-1] == ("organism",) and word in FAMILIES:
        return (
            f"holds the options of a family that organism.kind does not name; known here: {', '.join(known)}; "
            f"leave it out, or set organism.kind: {word}"
        )
    families = FAMILIES if location[:-1] == ("organism",) else ()
    near = difflib.get_close_matches(word, [*known, *families], n=1)
    found = [key_path((*location[:-1], near[0]), model)] if near else []
    if not found:
        leaves = {path.rsplit(".", 1)[-1]: path for path in reversed(everywhere)}
        found = [leaves[leaf] for leaf in difflib.get_close_matches(word, leaves, n=1, cutoff=0.8)]
    hint = f"; did you mean {found[0]}?" if found else ";"
    return f"unknown key{hint} known here: {', '.join(known)}"


def _keys(location: Sequence[int | str], model: type[BaseModel]) -> list[str]:
    for part in location:
        model = _below(model, str(part)) or model
    return list(sections(model))


_RIGHTS: Mapping[str, str] = {
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text (a number or true, false, null as text needs quotes)",
    "string_unicode": "text that UTF-8 can say",
    "tuple_type": "a list",
    "list_type": "a list",
    "none_required": "null",
    "greater_than_equal": "at least {ge}",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
    "too_short": "a list of at least {min_length}",
    "literal_error": "one of {expected}",
}


def _right(error: ErrorDetails) -> str:
    pattern = _RIGHTS.get(error["type"])
    if pattern is None:
        return f"right ({error['msg']})"
    values = {
        key: f"{value:g}" if isinstance(value, float) else value
        for key, value in error.get("ctx", {}).items()
    }
    return pattern.format(**values).replace("'", "").replace("one of auto", "auto")


def _near_literal(errors: list[ErrorDetails]) -> str:
    known = [
        word.strip("' ")
        for error in errors
        if error["type"] == "literal_error"
        for word in error["ctx"]["expected"].replace(" or ", ", ").split(",")
    ]
    value = errors[0]["input"]
    return nearest(value, known) if isinstance(value, str) else ""
