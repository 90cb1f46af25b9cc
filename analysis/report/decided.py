"""The lifecycle of a run: births and deaths over rounds, why they were decided, and how births were tried."""

from collections.abc import Iterator

import pandas as pd

from analysis.report.blocks import Block, Table, Text
from analysis.report.course import lines
from analysis.report.values import UNKNOWN, plain, thinned, written

MOST_TRIED = 200  # births in the table of trials


def lifecycle(rounds: pd.DataFrame, decisions: pd.DataFrame) -> list[Block]:
    """Return charts of births, deaths and temperature, and a table of what was considered, by reason.

    Parameters
    ----------
    rounds, decisions
        Frames of the run.
    """
    charts = [
        lines(rounds, {"births": "births", "deaths": "deaths"}, "Births and deaths", "components a round"),
        lines(rounds, {"alive": "living components"}, "Living components", "over all organisms"),
        lines(rounds, {"temperature": "temperature"}, "Temperature", "units of the objective"),
    ]
    spans = list(_phases(rounds))
    found: list[Block] = [each for each in charts if each is not None]
    if spans:
        found.append(Text(f"Phases: {'; '.join(spans)}."))
    if decisions.empty:
        return [*found, Text("No birth and no death was considered.")]
    considered = decisions.assign(
        by=[
            f"{'by ' + _named(row.operator) if row.kind == 'birth' else 'for ' + _named(row.reason)}"
            for row in decisions.itertuples()
        ]
    )
    rows = [
        (
            f"{plain(kind)} {by}",
            written(len(part)),
            written(int(part["happens"].sum())),
            written(part["probability"].mean(), ".3f"),
        )
        for (kind, by), part in considered.groupby(["kind", "by"])
    ]
    columns = ("event", "considered", "happened", "mean probability")
    return [*found, Table("Births and deaths by what made them and why", columns, rows)]


def trials(tried: pd.DataFrame) -> list[Block]:
    """Return tables of the births that were tried: by what made the candidates, and each by itself; none without any.

    Parameters
    ----------
    tried
        The run's frame of trials.
    """
    if tried.empty:
        return []
    rows = [
        (
            str(plain(operator)),
            written(len(part)),
            written(int(part["chosen"].sum())),
            written(part["gain"].mean()),
            written(part["gain"].max()),
            written(part["strength"].mean()),
        )
        for operator, part in tried.groupby("operator")
    ]
    births = list(tried.groupby(["round", "organism", "slot"]))
    kept = thinned(pd.DataFrame(index=range(len(births))), MOST_TRIED).index
    each = [
        (
            f"round {round}, organism {organism}, slot {slot}",
            written(len(part)),
            written(part["gain"].max()),
            _born(part),
        )
        for (round, organism, slot), part in (births[place] for place in kept)
    ]
    some = f", {len(each)} of {len(births)}" if len(each) < len(births) else ""
    return [
        Table(
            "Candidates of births, by what made them",
            ("operator", "candidates", "born", "mean gain [nats]", "largest gain [nats]", "mean strength"),
            rows,
        ),
        Table(
            f"Births that were tried{some}",
            ("birth", "candidates", "largest gain [nats]", "born"),
            each,
        ),
    ]


def _born(part: pd.DataFrame) -> str:
    chosen = part[part["chosen"].astype(bool)]
    if chosen.empty:
        return "none"
    born = chosen.iloc[0]
    return f"candidate {born['candidate']}, by {plain(born['operator'])}, at strength {born['strength']:g}"


def _named(value: object) -> str:
    return value if isinstance(value, str) and value else UNKNOWN


def _phases(rounds: pd.DataFrame) -> Iterator[str]:
    """Yield each phase with its first and last round."""
    ordered = rounds.sort_values("round")
    places = (ordered["phase"] != ordered["phase"].shift()).cumsum()
    for _, part in ordered.groupby(places):
        first, last = int(part["round"].iloc[0]), int(part["round"].iloc[-1])
        yield f"{plain(part['phase'].iloc[0])} in rounds {first} to {last}"
