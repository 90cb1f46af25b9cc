"""The model of a configuration: the whole, with the options and the defaults of its family, and with all rules.

A family's options are the section ``organism.<family>``, and its traits are defaults of `calibration`. So the model
depends on ``organism.kind``; every key of it is known to messages and to the JSON schema.
"""

from collections.abc import Mapping
from copy import copy
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from pydantic import ConfigDict, create_model, model_validator
from pydantic_core import PydanticCustomError

from organisms.families import FAMILIES
from organisms.options import FamilyOptions
from runs.config.rules import broken_rules
from runs.config.schema import Config
from runs.config.sections import CalibrationConfig, OrganismConfig

SHARED = frozenset(OrganismConfig.model_fields)  # keys of organism that every family has


class Own(NamedTuple):
    """Name and options of a family, as a configuration needs them."""

    name: str
    options: type[FamilyOptions]


class Unchecked(FamilyOptions):
    """Options of a user's family that was not imported: whatever is there."""

    model_config = ConfigDict(extra="allow")


def configured(values: Mapping[str, Any], own: Own | None = None) -> Config:
    """Return the configuration of plain values, after checking them.

    Parameters
    ----------
    values
        What YAML or JSON hold, under the keys of the file.
    own
        The user's family that ``organism.kind`` names, where it was imported; else its options are not checked.

    Raises
    ------
    ValidationError
        If they are not valid.
    """
    return model_for(values, own).model_validate(values)


def model_for(values: Mapping[str, Any], own: Own | None = None) -> type[Config]:
    """Return the model that values are to be checked by: that of their ``organism.kind``, or of `own`."""
    organism = values.get("organism")
    section = organism if isinstance(organism, Mapping) else {}
    kind = section.get("kind", OrganismConfig().kind)
    if own is not None:
        return model_of(*own)
    if isinstance(kind, str) and kind in FAMILIES:
        return model_of(kind, options_of(kind))
    if isinstance(kind, str) and ":" in kind:
        found = [key for key, value in section.items() if isinstance(value, Mapping) and key not in SHARED]
        return model_of(found[0] if len(found) == 1 else None, Unchecked)
    return model_of(OrganismConfig().kind, options_of(OrganismConfig().kind))


def options_of(kind: str) -> type[FamilyOptions]:
    """Return the options of a family of the table; torch is not loaded for them."""
    module, _, name = FAMILIES[kind].options.partition(":")
    return getattr(import_module(module), name)


@cache
def model_of(name: str | None, options: type[FamilyOptions]) -> type[Config]:
    """Return the model of configurations whose ``organism.<name>`` are such options.

    Parameters
    ----------
    name
        Of the family; None: it has no section.
    options
        Its options; their traits are defaults.
    """
    sections: dict[str, Any] = {} if name is None else {name: (options, options())}
    organism = create_model(
        "OrganismConfig", __base__=OrganismConfig, __doc__=OrganismConfig.__doc__, **sections
    )
    calibration = create_model(
        "CalibrationConfig",
        __base__=CalibrationConfig,
        __doc__=CalibrationConfig.__doc__,
        host_share=_defaulting("host_share", options.traits.host_share),
        steps=_defaulting("steps", options.traits.interface_steps),
    )
    return create_model(
        "Config",
        __base__=Config,
        __doc__=Config.__doc__,
        __validators__={"rules": _RULES},
        organism=(organism, organism()),
        calibration=(calibration, calibration()),
    )


def schema_of_all() -> dict[str, Any]:
    """Return the JSON schema of a configuration of any family of the table."""
    sections: dict[str, Any] = {kind: (options_of(kind) | None, None) for kind in FAMILIES}
    organism = create_model(
        "OrganismConfig", __base__=OrganismConfig, __doc__=OrganismConfig.__doc__, **sections
    )
    model = create_model("Config", __base__=Config, __doc__=Config.__doc__, organism=(organism, organism()))
    return model.model_json_schema()


def _defaulting(name: str, default: Any) -> tuple[Any, Any]:
    field = copy(CalibrationConfig.model_fields[name])
    field.default = default
    return field.annotation, field


def _check_rules(config: Config) -> Config:
    broken = broken_rules(config)
    if broken:
        text = "; ".join(str(problem) for problem in broken)
        raise PydanticCustomError("rules", "{text}", {"text": text, "problems": broken})
    return config


_RULES: Any = model_validator(mode="after")(_check_rules)
