"""The rows of a summary: which there are, how they are aligned, and what is written for what is not known."""

import dataclasses

import pytest

from runs.results.rows import joined_rows, rows, table
from runs.results.summary import Summary, summarise
from tests.fixtures.synthetic_run import write_run


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "run")


def test_the_table_names_everything(path):
    lines = table(summarise(path)).splitlines()
    assert [line.split("  ")[0] for line in lines if line[0] != " "] == [
        "run", "task and family", "seed and arm", "measures", "rounds", "coverage", "competing", "QD score",
        "best objective", "mean objective", "emitters", "best organism", "its test score", "useful at calibration",
        "KMO and verdict", "because", "at the last check", "births", "deaths", "quarantines",
        "wall time", "service levels", "digest",
    ]  # fmt: skip
    starts = {len(line) - len(line.split("  ", 1)[1].lstrip()) for line in lines}
    assert len(starts) == 1  # aligned


def test_joined_rows_have_all_words_of_the_rows_but_the_path(path):
    summary = summarise(path)
    joined = joined_rows(summary)
    assert all(label for label, _ in joined)
    lines = [text for label, text in rows(summary) if label != "run"]
    assert [line for _, text in joined for line in text.split("\n")] == lines
    assert len(joined) < len(lines)


def test_the_table_of_a_run_of_which_little_is_known():
    empty: dict = {field.name: None for field in dataclasses.fields(Summary)}
    known = {"run": "r", "name": "r", "rounds": 1, "coverage": 0.0, "qd_score": 0.0, "score_name": "score"}
    known |= {
        "test_metrics": {},
        "held_out": {},
        "emitters": {},
        "flops": {},
        "kmo_reasons": (),
        "measures": (),
        "ineligible": {},
        "hints": (),
        "competing": 0,
        "changes": {},
    }
    text = table(Summary(**empty | known | {"births": 0, "deaths": 0, "quarantines": 0, "digest": "0"}))
    assert "best objective         -\n" in text
    assert "KMO and verdict        not assessed\n" in text
    assert "wall time              -\n" in text
