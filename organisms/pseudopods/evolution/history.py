"""What happened, as rows that become frames with the columns of a run's (`archive_store.columns`)."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from organisms.pseudopods.evolution.observed import MEASURES
from qd.lifecycle.rules import Rules, phase
from qd.measures import Ranges
from qd.records import Census, Decision
from qd.validity.verdict import assess
from qd.view import View

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]
FRAMES: Mapping[str, str] = {  # with their columns
    "rounds": "round step coverage component_coverage lineage_coverage qd_score normalised_qd_score best_objective "
    "mean_objective births deaths alive temperature phase mean_loss",
    "census": "organism round loss step alive quarantine",
    "decisions": "organism round kind slot component parents probability draw happens phase temperature operator z "
    "objective threshold sigma reason",
    "validity": "round status n organisms kmo kmo_low kmo_high effective_dimension largest_correlation reasons",
}


class History:
    """Rows of the frames, in the order in which they came to be."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Row]] = {name: [] for name in FRAMES}

    def frame(self, name: str) -> "pd.DataFrame":
        """Return a frame by its name.

        Raises
        ------
        ValueError
            If there is none of this name.
        """
        import pandas as pd

        if name not in FRAMES:
            raise ValueError(f"history has the frames {', '.join(FRAMES)}, but was asked for {name!r}")
        return pd.DataFrame(self.rows[name], columns=FRAMES[name].split())

    def census(self, round: int, step: int, census: Census, view: View, rules: Rules) -> None:
        """Add the rows of a round that ends.

        Parameters
        ----------
        round, step
            Its number, and optimizer steps so far.
        census
            Of its end.
        view
            The archive after its competitions.
        rules
            Of the lifecycle.
        """
        happened = [row["kind"] for row in self.rows["decisions"] if row["round"] == round and row["happens"]]
        best = view.best
        alive = len(census.records)
        loss = census.loss if math.isfinite(census.loss) else None
        self.rows["rounds"].append(
            {
                "round": round,
                "step": step,
                "coverage": view.coverage,
                "component_coverage": view.component_coverage,
                "lineage_coverage": view.lineage_coverage,
                "qd_score": view.qd_score,
                "normalised_qd_score": view.normalised_qd_score,
                "best_objective": None if best is None else best.objective,
                "mean_objective": view.mean_objective,
                "births": happened.count("birth"),
                "deaths": happened.count("death"),
                "alive": alive,
                "temperature": rules.temperature(step - rules.steps_per_round),
                "phase": phase(rules, round),
                "mean_loss": loss,
            }
        )
        self.rows["census"].append(
            {"organism": 0, "round": round, "loss": loss, "step": step, "alive": alive, "quarantine": None}
        )

    def decision(self, decision: Decision) -> None:
        """Add a row for each birth and death that was considered."""
        shared: Row = {
            "organism": 0,
            "round": decision.round,
            "phase": decision.phase,
            "temperature": decision.temperature,
        }
        for death in decision.deaths:
            self.rows["decisions"].append(
                shared
                | {"kind": "death", "slot": death.component.slot, "component": str(death.component)}
                | {name: getattr(death, name) for name in ("probability", "draw", "happens", "z", "reason")}
            )
        for birth in decision.births:
            self.rows["decisions"].append(
                shared
                | {"kind": "birth", "slot": birth.slot, "component": f"0.{decision.round}.{birth.slot}"}
                | {"parents": " ".join(map(str, birth.parents))}
                | {name: getattr(birth, name) for name in ("probability", "draw", "happens", "operator")}
                | {name: getattr(birth, name) for name in ("objective", "threshold", "sigma")}
            )

    def check(self, round: int, samples: Sequence[tuple[float, ...]], ranges: Ranges, seed: int) -> None:
        """Add a verdict on the behaviour space, which no decision depends on.

        Parameters
        ----------
        round
            After which it is looked at.
        samples
            Raw measures since the last check.
        ranges
            Of the measures.
        seed
            Of the bootstrap.
        """
        rows = np.array(samples, dtype=np.float64).reshape(-1, len(MEASURES))
        verdict = assess(rows, [0] * len(rows), MEASURES, None, ranges, "robust", seed, stops=False)
        low, high = verdict.kmo_interval or (None, None)
        self.rows["validity"].append(
            {
                "round": round,
                "status": verdict.status,
                "n": verdict.n,
                "organisms": verdict.organisms,
                "kmo": verdict.kmo,
                "kmo_low": low,
                "kmo_high": high,
                "effective_dimension": verdict.effective_dimension,
                "largest_correlation": verdict.largest_correlation,
                "reasons": list(verdict.reasons),
            }
        )
