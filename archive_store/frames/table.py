"""What all frames share: how rows become a frame, and the columns of names, genes and measures."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from archive_store.errors import JournalError
from qd.canonical import number
from qd.records import ComponentId, Genes

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]
Columns = Mapping[str, str]  # name to NumPy type

GENE, USAGE = "gene_", "usage_"


def frame(rows: Sequence[Row], columns: Columns) -> "pd.DataFrame":
    """Build a frame with these columns and types; what a row lacks is NaN or None."""
    import pandas as pd

    table = {name: pd.Series([row.get(name) for row in rows], dtype=kind) for name, kind in columns.items()}
    return pd.DataFrame(table, columns=list(columns))


def kind_of(values: Sequence[Any]) -> str:
    """Return the NumPy type of a column that holds these values."""
    if any(isinstance(value, (str, tuple)) for value in values):
        return "object"
    return "int64" if all(type(value) is int for value in values) else "float64"


def by_measure(values: Sequence[Any], measures: Sequence[str], prefix: str = "") -> Row:
    """Return a column for each measure.

    Parameters
    ----------
    values
        One for each measure.
    measures
        Names of the run's measures, in order.
    prefix
        Of the names of the columns.

    Raises
    ------
    JournalError
        If there are more or fewer values than names.
    """
    if len(values) != len(measures):
        raise JournalError(
            f"the journal has {len(values)} measures and the configuration names {len(measures)}: "
            f"{', '.join(measures)}; restore the configuration from a copy"
        )
    return {f"{prefix}{name}": value for name, value in zip(measures, values, strict=True)}


def optional(value: float | str | None) -> float:
    """Return a number of the journal; NaN for None."""
    return math.nan if value is None else number(value)


def named(component: ComponentId, lineage: ComponentId, parents: Sequence[ComponentId]) -> Row:
    """Return the columns that name a component.

    Parameters
    ----------
    component, lineage, parents
        Of the component.
    """
    return {"component": str(component), "lineage": str(lineage), "parents": tuple(map(str, parents))}


def of_genes(genes: Genes) -> Row:
    """Return a column for each gene."""
    return {f"{GENE}{name}": value for name, value in genes}


def gene_columns(rows: Iterable[Row]) -> dict[str, str]:
    """Return the columns of all genes that rows have, by name."""
    return numeric(sorted({name for row in rows for name in row if name.startswith(GENE)}))


def numeric(names: Iterable[str]) -> dict[str, str]:
    """Return columns of real numbers."""
    return dict.fromkeys(names, "float64")
