import math
from dataclasses import replace

import numpy as np
import pytest

from archive_store import frames
from archive_store.errors import JournalError
from archive_store.journal.chain import Event, numbered
from qd.emitters.records import Emission, Emitted, Parent
from qd.measures import MEASURES
from qd.records import (
    Birth,
    Candidate,
    Census,
    ComponentId,
    Death,
    Decision,
    Outcome,
    Proposal,
    Record,
    Trial,
)

FOUNDER, CHILD = ComponentId(1, 0, 2), ComponentId(1, 4, 3)
RECORD = Record(
    CHILD, (FOUNDER, ComponentId(0, 0, 0)), FOUNDER, 0, (("rank", 4.0), ("width", 8.0)), "a" * 64, 2,
    (0.1, 0.2, float("nan"), 0.4, 0.5), 0.3, 0.2, 0.05, 0.7, 100.0, 50.0,
)  # fmt: skip
CENSUS = Census(1, 5, 125, 0.5, 0.6, 2.3, 0.51, 0.52, 0.9, None, None, "b" * 64, (RECORD,), None)
BIRTH = Birth(
    3, "archive", "line", (FOUNDER, CHILD), ("a" * 64, "b" * 64), FOUNDER, 0.4, 0.45, 0.1, 0.8, 0.7,
    "birth:1:3:ab", True,
)  # fmt: skip
DEATH = Death(FOUNDER, -1.5, 0.0, 0.6, 0.9, "fitness", False)
DECISION = Decision(1, 5, 100, "full", 0.25, 0.5, None, (BIRTH,), (DEATH,), False)


def events(kind, *values, round=5):
    return numbered(round, [(kind, value) for value in values])


AT_HOME = ("home_effective_rank", "home_coherence", "home_correlation")


def candidate(component=CHILD, objective=0.5, genes=(("rank", 4.0),)):
    behaviour = (0.1, 0.2, 0.3, 0.4, 0.5)
    return Candidate(
        component, (FOUNDER,), FOUNDER, 1, genes, "c" * 64, 5, behaviour, (False,) * 5, objective
    )


def test_a_census_is_one_row():
    (row,) = frames.census(events("census", CENSUS)).to_dict("records")
    assert math.isnan(row.pop("test_loss"))
    assert math.isnan(row.pop("test_score"))
    assert math.isnan(row.pop("memory"))
    assert row == {
        "organism": 1, "round": 5, "loss": 0.5, "probe_loss": 0.51, "validation_loss": 0.52,
        "validation_score": 0.9, "step": 125, "alive": 1, "state": "b" * 64,
        "quarantine": None, "test_metrics": (),
    }  # fmt: skip


def test_a_tasks_own_metrics_are_pairs():
    measured = replace(CENSUS, test_metrics=(("of sines", 0.25), ("of circles", math.inf)))
    (row,) = frames.census(events("census", measured)).to_dict("records")
    assert row["test_metrics"] == (("of sines", 0.25), ("of circles", math.inf))


def test_a_quarantined_census_is_a_row_without_losses_or_components():
    lost = dict.fromkeys(("loss", "loss_ema", "probe_loss", "validation_loss", "validation_score"), math.nan)
    quarantined = replace(CENSUS, **lost, records=(), quarantine="training loss became nan")
    found = frames.census(events("census", quarantined, CENSUS))
    assert found["quarantine"].tolist() == ["training loss became nan", None]
    assert found["alive"].tolist() == [0, 1]
    assert found["loss"].isna().tolist() == found["validation_score"].isna().tolist() == [True, False]
    assert len(frames.records(events("census", quarantined), MEASURES)) == 0


def test_a_record_is_one_row_with_its_measures_and_genes():
    (row,) = frames.records(events("census", CENSUS), MEASURES).to_dict("records")
    assert math.isnan(row.pop("gradient_flow"))
    assert all(math.isnan(row.pop(name)) for name in ("load", "worth", *AT_HOME))
    assert row == {
        "organism": 1, "round": 5, "slot": 3, "born": 4, "component": "1.4.3", "lineage": "1.0.2",
        "parents": ("1.0.2", "0.0.0"), "depth": 0, "age": 2, "attention_span": 0.1,
        "activation_sparsity": 0.2, "access_locality": 0.4, "compute_intensity": 0.5, "assay": 0.3,
        "assay_lower": 0.2, "ablation": 0.05, "gradient": 0.7, "flops": 100.0, "bytes": 50.0,
        "genome": "a" * 64, "gene_rank": 4.0, "gene_width": 8.0,
    }  # fmt: skip


def test_usage_is_a_column_for_every_kind_in_the_order_of_the_task():
    usage = (("sine", 0.5), ("circle of one", 0.25))
    used = replace(CENSUS, records=(replace(RECORD, load=0.375, usage=usage), RECORD))
    found = frames.records(events("census", used), MEASURES)
    assert found.columns[-2:].tolist() == ["usage_sine", "usage_circle of one"]
    np.testing.assert_array_equal(found["load"], [0.375, np.nan])
    np.testing.assert_array_equal(found["usage_sine"], [0.5, np.nan])
    np.testing.assert_array_equal(found["usage_circle of one"], [0.25, np.nan])
    assert all(frames.taken(name) for name in found.columns[-3:])


def test_what_a_part_is_at_home_is_in_its_record():
    at_home = dict(zip(AT_HOME, (2.5, 0.75, -0.25), strict=True))
    found = frames.records(
        events("census", replace(CENSUS, records=(replace(RECORD, **at_home), RECORD))), MEASURES
    )
    assert found[list(at_home)].to_dict("records")[0] == at_home
    assert found.loc[1, list(at_home)].isna().all()


def scored(*scores, round=5):
    return [replace(CENSUS, organism=i, round=round, validation_score=s) for i, s in enumerate(scores)]


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ((0.1, 0.9, 0.5), 1),
        ((0.5, 0.9, 0.9), 1),
        ((math.nan, -3.0, -math.inf), 1),
        ((math.nan, -math.inf), None),
        ((), None),
    ],
)
def test_the_best_organism_is_that_of_the_last_round_by_its_finite_score(scores, best):
    last = events("census", *scored(*scores)[::-1])
    before = events("census", *scored(1.0, 0.0, round=4), round=4) if scores else []
    assert frames.best_organism(frames.census([*last, *before])) == best


def test_births_and_deaths_are_rows_of_one_frame():
    birth, death = frames.decisions(events("decision", DECISION)).to_dict("records")
    shared = {"organism": 1, "round": 5, "phase": "full", "temperature": 0.25}
    assert all(math.isnan(birth.pop(name)) for name in ("z", "chosen", "gain", "strength"))
    assert birth == shared | {
        "kind": "birth", "slot": 3, "component": "1.5.3", "parents": ("1.0.2", "1.4.3"), "probability": 0.8,
        "draw": 0.7, "happens": True, "operator": "line", "arm": "archive", "lineage": "1.0.2",
        "objective": 0.4, "threshold": 0.45, "sigma": 0.1, "reason": None, "candidates": 1.0,
    }  # fmt: skip
    expected = {
        "kind": "death", "slot": 2, "component": "1.0.2", "parents": (), "happens": False, "z": -1.5,
        "reason": "fitness",
    }  # fmt: skip
    assert {name: death[name] for name in expected} == expected
    assert death["operator"] is None
    assert math.isnan(death["threshold"])


def test_a_birth_without_parents_starts_its_own_line():
    birth = Birth(0, "random", "random", (), (), None, 0.0, 0.0, 0.0, 1.0, 0.5, "birth:1:0:", True)
    decision = Decision(1, 5, 100, "full", 0.25, 0.5, None, (birth,), (), False)
    (row,) = frames.decisions(events("decision", decision)).to_dict("records")
    assert row["lineage"] == row["component"] == "1.5.0"


OTHER = ComponentId(7, 2, 1)
TRIED = replace(BIRTH, tried=True, others=(Proposal("gaussian", (OTHER,), ("d" * 64,), OTHER),))
FOR_ROOM = Death(ComponentId(1, 2, 3), -1.5, 0.0, 1.0, 0.9, "room", True)


@pytest.mark.parametrize("strengths", [(0.25, 1.0), ()], ids=["strengths", "older"])
@pytest.mark.parametrize(
    ("chosen", "operator", "parents"),
    [(0, "line", ("1.0.2", "1.4.3")), (1, "gaussian", ("7.2.1",)), (None, "line", ("1.0.2", "1.4.3"))],
)
def test_a_birth_that_was_tried_is_what_its_trial_chose(chosen, operator, parents, strengths):
    decision = replace(DECISION, births=(TRIED,), deaths=(FOR_ROOM,))
    told = replace(CENSUS, trials=(Trial(3, 0.5, (0.02, math.nan), chosen, strengths),))
    given = events("decision", decision), events("census", told)
    birth, death = frames.decisions(*given).to_dict("records")
    assert (birth["operator"], birth["parents"], birth["candidates"]) == (operator, parents, 2)
    assert birth["happens"] == death["happens"] == (chosen is not None)
    assert birth["gain"] == 0.02 if chosen == 0 else math.isnan(birth["gain"])
    found = frames.trials(*given)
    assert found["chosen"].tolist() == [chosen == 0, chosen == 1]
    first = found.to_dict("records")[0]
    assert first == {
        "organism": 1, "round": 5, "slot": 3, "candidate": 0, "operator": "line",
        "parents": ("1.0.2", "1.4.3"), "loss": 0.5, "gain": 0.02, "strength": 0.25 if strengths else 1.0,
        "chosen": chosen == 0,
    }  # fmt: skip
    assert math.isnan(found["gain"][1])


def test_in_quarantine_a_birth_that_was_to_be_tried_did_not_happen():
    quarantined = replace(CENSUS, records=(), quarantine="training loss became nan")
    decision = replace(DECISION, births=(TRIED,), deaths=(FOR_ROOM,))
    found = frames.decisions(events("decision", decision), events("census", quarantined))
    assert found["happens"].tolist() == [False, False]
    assert frames.trials(events("decision", decision), events("census", quarantined)).empty


def test_an_outcome_is_one_row():
    first = Outcome(candidate(), "insert", 7, None, None)
    second = Outcome(candidate(objective=0.4), "reject", 7, CHILD, 0.5)
    found = frames.outcomes(events("outcome", first, second)).to_dict("records")
    assert math.isnan(found[0].pop("incumbent_objective"))
    shared = {"round": 5, "component": "1.4.3", "cell": 7, "lineage": "1.0.2"}
    assert found == [
        shared | {"status": "insert", "objective": 0.5, "incumbent": None},
        shared | {"status": "reject", "objective": 0.4, "incumbent": "1.4.3", "incumbent_objective": 0.5},
    ]


def test_elites_are_the_last_accepted_by_cell():
    other = ComponentId(0, 0, 1)
    found = frames.elites(
        events(
            "outcome",
            Outcome(candidate(), "insert", 7, None, None),
            Outcome(candidate(other, 0.3, (("window", 2.0),)), "insert", 2, None, None),
            Outcome(candidate(objective=0.1), "reject", 7, CHILD, 0.5),
            Outcome(candidate(objective=0.6), "replace", 7, CHILD, 0.5),
        ),
        MEASURES,
    )
    assert found["cell"].tolist() == [2, 7]
    assert found["handle"].tolist() == [1, 2]
    assert found["objective"].tolist() == [0.3, 0.6]
    assert found["component"].tolist() == ["0.0.1", "1.4.3"]
    np.testing.assert_array_equal(found["gene_rank"], [np.nan, 4.0])
    np.testing.assert_array_equal(found["gene_window"], [2.0, np.nan])
    np.testing.assert_array_equal(found[list(MEASURES)], [[0.1, 0.2, 0.3, 0.4, 0.5]] * 2)


def test_elites_say_how_often_births_tried_them():
    won = events("outcome", *(Outcome(candidate(CHILD), "insert", cell, None, None) for cell in (2, 7)))
    of_it = replace(TRIED, genomes=(candidate().genome,), happens=True)
    tries = events(
        "decision", *(replace(DECISION, births=(birth,)) for birth in (of_it, of_it, DECISION.births[0]))
    )
    assert frames.elites(won, MEASURES)["tries"].tolist() == [0, 0]
    assert frames.elites(won, MEASURES, (), tries)["tries"].tolist() == [2, 2]


def test_a_summary_is_one_row_with_lists_spread_by_measure():
    body = {
        "round": 5, "coverage": 0.5, "births": 2, "best_objective": None, "mean_loss": float("inf"),
        "phase": "full", "out_of_range": [1, 2, 3, 4, 5], "other": [1, 2], "new": 7,
    }  # fmt: skip
    found = frames.rounds(events("summary", body), {5: "d" * 64}, MEASURES)
    (row,) = found.to_dict("records")
    assert row["digest"] == "d" * 64
    assert (row["births"], row["phase"], row["other"], row["new"]) == (2, "full", (1, 2), 7)
    assert math.isnan(row["best_objective"])
    assert row["mean_loss"] == math.inf
    assert [row[f"out_of_range_{name}"] for name in MEASURES] == [1, 2, 3, 4, 5]
    assert found.dtypes[["births", "coverage", "best_objective"]].astype(str).tolist() == [
        "int64", "float64", "float64",
    ]  # fmt: skip


def test_lists_of_as_many_entries_as_there_are_measures_are_not_taken_for_measures():
    body = {"round": 5, "out_of_range": [1, 2], "other": [3, 4]}
    (row,) = frames.rounds(events("summary", body), {5: "d" * 64}, ("reach", "norm")).to_dict("records")
    assert (row["out_of_range_reach"], row["out_of_range_norm"], row["other"]) == (1, 2, (3, 4))


def test_a_verdict_is_one_row():
    correlations = [[1.0 if i == j else (i + j) / 10 for j in range(5)] for i in range(5)]
    verdict = {
        "status": "warn", "reasons": ["KMO"], "kmo": 0.55, "kmo_interval": [0.5, 0.6],
        "msa": [0.1, 0.2, 0.3, 0.4, None], "bartlett_chi2": "Infinity", "bartlett_p": 0.0,
        "effective_dimension": 4.0, "largest_correlation": 0.7, "correlations": correlations,
        "n": 128, "organisms": 4,
    }  # fmt: skip
    (row,) = frames.validity([(3, verdict)], MEASURES).to_dict("records")
    assert (row["round"], row["status"], row["reasons"]) == (3, "warn", ("KMO",))
    assert (row["kmo"], row["kmo_low"], row["kmo_high"]) == (0.55, 0.5, 0.6)
    assert (row["n"], row["organisms"]) == (128, 4)
    assert row["bartlett_chi2"] == math.inf
    assert row["msa_access_locality"] == 0.4
    assert math.isnan(row["msa_compute_intensity"])
    assert row["correlation_access_locality_compute_intensity"] == 0.7
    assert len([name for name in row if name.startswith("correlation_")]) == 10


def test_a_skipped_verdict_is_a_row_of_nan():
    verdict = {"status": "skipped", "reasons": ["too few"], "kmo": None, "kmo_interval": None, "msa": None}
    (row,) = frames.validity([(3, verdict)], MEASURES).to_dict("records")
    assert all(math.isnan(value) for name, value in row.items() if name not in ("round", "status", "reasons"))


@pytest.mark.parametrize(
    ("build", "few"),
    [
        (lambda: frames.rounds([], {}, MEASURES), ["round", "digest", "coverage", "births", "phase"]),
        (lambda: frames.census([]), ["organism", "round", "alive"]),
        (lambda: frames.records([], MEASURES), ["component", *MEASURES, "genome"]),
        (lambda: frames.decisions([]), ["kind", "happens", "z"]),
        (lambda: frames.outcomes([]), ["cell", "status"]),
        (lambda: frames.elites([], MEASURES), ["cell", *MEASURES, "handle"]),
        (lambda: frames.validity([], MEASURES), ["kmo", "kmo_low", "msa_gradient_flow"]),
        (lambda: frames.timings([]), ["name", "seconds", "worker"]),
    ],
)
def test_an_empty_frame_has_its_columns(build, few):
    found = build()
    assert len(found) == 0
    assert set(few) <= set(found.columns)


@pytest.mark.parametrize(
    ("build", "event"),
    [
        (frames.records, ("census", CENSUS)),
        (frames.elites, ("outcome", Outcome(candidate(), "insert", 7, None, None))),
    ],
)
def test_every_column_beside_the_measures_is_taken(build, event):
    columns = build(events(*event), MEASURES).columns
    assert [name for name in columns if not frames.taken(name)] == list(MEASURES)


def test_an_event_of_another_shape_is_named():
    event = Event(3, 4, None, "census", '{"kind":"census"}')
    with pytest.raises(
        JournalError, match="event 4 of round 3 is no census of this version: organism is missing"
    ):
        frames.census([event])


def test_children_of_a_chunk_are_made_and_scored_or_the_journal_was_altered():
    made = Emission(5, 2, "iso_line", (Parent(CHILD, FOUNDER, "a" * 64, 0),), ((0,),))
    scored = Emitted(5, 2, 1, 1, 0.25, 1e6, ())
    whole = numbered(5, [("emission", made), ("emitted", scored)])
    (row,) = frames.emitters(whole).to_dict("records")
    assert (row["chunk"], row["children"], row["scored"], row["useful"], row["won"]) == (2, 1, 1, 1, 0)
    with pytest.raises(JournalError, match="scored children of chunk 2, which no emitter made"):
        frames.emitters(whole[1:])
    with pytest.raises(JournalError, match="children of chunk 2 of round 5 were made and never scored"):
        frames.emitters(whole[:1])
