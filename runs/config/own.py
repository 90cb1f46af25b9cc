"""The user's own family, imported for the options that it brings."""

from collections.abc import Mapping
from typing import Any
from warnings import catch_warnings

from pydantic import ValidationError

from organisms.families import FAMILIES
from organisms.options import IMPORT_PATH, FamilyOptions, Traits
from runs.config.import_path import imported
from runs.config.model import SHARED, Own, model_for, options_of
from runs.config.sections import OrganismConfig
from runs.errors import RAISED, ConfigError, told
from runs.machine import settings

SETTING = "organism.kind"


def own_family(values: Mapping[str, Any]) -> Own | None:
    """Import the family that ``organism.kind`` names by import path; None where it names none so.

    Raises
    ------
    ConfigError
        If it cannot be imported or is no family.
    """
    organism = values.get("organism")
    kind = organism.get("kind") if isinstance(organism, Mapping) else None
    if not (isinstance(kind, str) and IMPORT_PATH.fullmatch(kind)):
        return None
    settings.prepare()  # a family loads torch
    family = imported(kind, SETTING)
    name, options = getattr(family, "family", None), getattr(family, "options", None)
    if not (isinstance(name, str) and isinstance(options, type) and issubclass(options, FamilyOptions)):
        raise ConfigError(
            f"{SETTING} is {kind!r}, which is no family: it needs a name in `family` and a subclass of "
            "organisms.options.FamilyOptions in `options`; see organisms.species.Species"
        )
    _check_name(kind, name, options)
    _check_options(kind, options)
    return Own(name, options)


def _check_name(kind: str, name: str, options: type[FamilyOptions]) -> None:
    """Refuse a name that cannot be that of a section, or is that of a built-in family with other options."""
    if not name.isidentifier() or name.startswith("_") or hasattr(OrganismConfig, name) or name in SHARED:
        raise ConfigError(
            f"{SETTING} is {kind!r}, whose name {name!r} cannot be that of a section; give `family` another one of "
            "letters, digits and underscores"
        )
    if name in FAMILIES and not issubclass(options, options_of(name)):
        raise ConfigError(
            f"{SETTING} is {kind!r}, which calls itself {name!r} as a built-in family with other options does; give "
            "`family` a name of its own"
        )


def _check_options(kind: str, options: type[FamilyOptions]) -> None:
    """Refuse options whose defaults a configuration cannot hold, or whose traits are none."""
    if not isinstance(options.traits, Traits):
        raise ConfigError(
            f"{SETTING} is {kind!r}, whose options have traits that are no organisms.options.Traits"
        )
    required = [option for option, field in options.model_fields.items() if field.is_required()]
    if required:
        raise ConfigError(
            f"{SETTING} is {kind!r}, whose option {required[0]!r} has no default; every option needs one"
        )
    try:
        with catch_warnings(action="error"):  # pydantic warns of a default that is not of its type
            options.model_validate(options().model_dump(mode="json"))
    except RAISED as error:
        raise ConfigError(
            f"{SETTING} is {kind!r}, whose options cannot be written and read with their defaults: {told(error)}"
        ) from error


def schema_of(kind: str) -> dict[str, Any]:
    """Return the JSON schema of a configuration whose ``organism.kind`` is this one.

    Raises
    ------
    ConfigError
        If there is no such family, or it cannot be imported.
    """
    try:
        OrganismConfig(kind=kind)
    except ValidationError as error:
        raise ConfigError(f"--family {error.errors()[0]['ctx']['error']}") from None
    values = {"organism": {"kind": kind}}
    return model_for(values, own_family(values)).model_json_schema()
