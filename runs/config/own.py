"""The user's own family, imported for the options that it brings."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from organisms.options import FamilyOptions
from runs.config.import_path import imported
from runs.config.model import Own, model_for
from runs.config.sections import OrganismConfig
from runs.errors import ConfigError
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
    if not isinstance(kind, str) or ":" not in kind:
        return None
    settings.prepare()  # a family loads torch
    family = imported(kind, SETTING)
    name, options = getattr(family, "family", None), getattr(family, "options", None)
    if not (isinstance(name, str) and isinstance(options, type) and issubclass(options, FamilyOptions)):
        raise ConfigError(
            f"{SETTING} is {kind!r}, which is no family: it needs a name in `family` and a subclass of "
            "organisms.options.FamilyOptions in `options`; see organisms.species.Species"
        )
    if not name.isidentifier() or name in OrganismConfig.model_fields:
        raise ConfigError(
            f"{SETTING} is {kind!r}, whose name {name!r} cannot be that of a section; give `family` a name of letters, "
            f"digits and underscores that is none of {', '.join(OrganismConfig.model_fields)}"
        )
    required = [option for option, field in options.model_fields.items() if field.is_required()]
    if required:
        raise ConfigError(
            f"{SETTING} is {kind!r}, whose option {required[0]!r} has no default; every option needs one"
        )
    return Own(name, options)


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
