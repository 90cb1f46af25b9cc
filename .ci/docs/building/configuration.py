"""The pages of keys, from the schemas that the configurations of runs and of trainings have."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from docs.building.tables import code, plain, table
from organisms.families import FAMILIES
from runs.config.model import model_of, options_of, schema_of_all
from runs.config.schema import Config
from runs.config.schema import plain as values_of
from runs.models.config import TrainConfig

Schema = Mapping[str, Any]
HEADER = ("key", "default", "what it may be", "what it means")
OF_RUNS = """\
# Configuration of a run

A configuration is a YAML file of these keys; what it leaves out has the default. On the command line a key is
`key.path=value`. `plasmodia validate FILE` names everything that is wrong with one, `plasmodia schema` writes what
stands here as JSON schema, and `plasmodia launch NAME --dry-run` writes the whole of a [preset](presets.md).
"""
OF_TRAININGS = """\
# Configuration of a training

What `plasmodia fit` trains whole models by: a YAML file of these keys, or `key.path=value` on the command line.
`plasmodia schema --fit` writes the same as JSON schema, `plasmodia fit NAME --dry-run` the whole of a
[preset](presets.md).
"""
BOUNDS = (
    ("minimum", "at least"),
    ("exclusiveMinimum", "above"),
    ("maximum", "at most"),
    ("exclusiveMaximum", "below"),
)
LARGEST = 10**12  # bound that is written with all digits; those above are powers of two
ABSENT = "By default there is no such section (null)."
OF_FAMILY = "There where `organism.kind` is this family."
NAMES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "null": "null",
}


def page_of_runs() -> str:
    """Return the page of a run's keys, with the defaults that depend on the family."""
    by_family = table(
        ("key", *FAMILIES), [(code(key), *map(code, row)) for key, row in _of_families().items()]
    )
    return "\n\n".join(
        [OF_RUNS, _keys(schema_of_all()), f"## Defaults that depend on the family\n\n{by_family}\n"]
    )


def page_of_trainings() -> str:
    """Return the page of a training's keys."""
    return f"{OF_TRAININGS}\n\n{_keys(TrainConfig.model_json_schema())}\n"


def allowed(schema: Schema, definitions: Mapping[str, Schema]) -> str:
    """Return what a value may be, in words.

    Parameters
    ----------
    schema
        Of the value.
    definitions
        What a reference in it means, by name.
    """
    schema = _resolved(schema, definitions)
    if "anyOf" in schema:
        return " or ".join(allowed(each, definitions) for each in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(code(str(each)) for each in schema["enum"])
    if "const" in schema:
        return code(str(schema["const"]))
    if schema.get("type") == "array":
        items = schema.get("items", {})
        return f"list of {allowed(items, definitions)}" if items else "list"
    if schema.get("type") == "object":
        keys = schema.get("properties")
        inside = schema.get("additionalProperties")
        if keys:
            return "{" + ", ".join(code(key) for key in keys) + "}"
        return (
            f"names with {allowed(inside, definitions)}"
            if isinstance(inside, Mapping)
            else "names with values"
        )
    bounds = [f"{words} {_number(schema[key])}" for key, words in BOUNDS if key in schema]
    return ", ".join([NAMES.get(schema.get("type", ""), "any value"), *bounds])


def _keys(schema: Schema) -> str:
    return "\n\n".join(_sections(schema, schema.get("$defs", {}), "", {}))


def _sections(
    schema: Schema, definitions: Mapping[str, Schema], section: str, defaults: Mapping[str, Any] | None
) -> Iterator[str]:
    """Make a heading and a table of each section: first the keys of its own, then those of the sections below."""
    prefix = f"{section}." if section else ""
    yield f"## {section or 'The whole'}"
    yield plain(schema.get("description", ""))
    if defaults is None:
        yield OF_FAMILY if section.removeprefix("organism.") in FAMILIES else ABSENT
        defaults = {}
    rows, below = [], []
    for key, value in schema["properties"].items():
        default = defaults.get(key, value.get("default"))
        name = f"{prefix}{key}"
        inner = _section_of(value, definitions)
        if inner is not None:
            below.append((inner, name, default))
            continue
        rows.append(
            (
                f"{code(name)}{{ #{name} }}",
                code(json.dumps(default)) if "default" in value or key in defaults else "it has none",
                allowed(value, definitions),
                plain(value.get("description", "")),
            )
        )
    if rows:
        yield table(HEADER, rows)
    for inner, name, default in below:
        yield from _sections(inner, definitions, name, default)


def _section_of(value: Schema, definitions: Mapping[str, Schema]) -> Schema | None:
    """Return the schema of a section, of which a value may also be null; None where the value is no section."""
    options = [each for each in value.get("anyOf", [value]) if each.get("type") != "null"]
    found = _resolved(options[0], definitions) if len(options) == 1 else {}
    return found if "properties" in found else None


def _resolved(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    name = schema.get("$ref", "").rpartition("/")[2]
    return definitions[name] if name else schema


def _number(value: float) -> str:
    if not isinstance(value, int):
        return f"{value:g}"
    return f"{value:,}" if value < LARGEST else f"2^{value.bit_length() - 1}"


def _of_families() -> dict[str, list[str]]:
    """Find the keys, but those of families themselves, whose defaults differ: one value a family."""
    found = [_flat(values_of(model_of(kind, options_of(kind))())) for kind in FAMILIES]
    usual = _flat(values_of(Config()))
    return {
        key: [json.dumps(values[key]) for values in found]
        for key in usual
        if len({json.dumps(values[key]) for values in found}) > 1
    }


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        is_section = isinstance(value, Mapping) and value
        flat |= _flat(value, f"{prefix}{key}.") if is_section else {f"{prefix}{key}": value}
    return flat
