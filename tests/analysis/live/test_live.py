"""Pages that follow what they show: what they are made of, and that no name in a run is more than a text."""

import re

import pytest

from analysis.live.comparison import Course, comparison
from analysis.live.listing import SCRIPTS as OF_LIST
from analysis.live.listing import page_of_runs
from analysis.live.run import SCRIPTS as OF_RUN
from analysis.live.run import live_page, page_without_rounds
from analysis.live.sources import STYLE, files
from analysis.report.blocks import Table
from analysis.report.values import MOST_POINTS
from archive_store.reading import Run
from tests.fixtures.pages import parsed, sha256

BAD = ["</script><script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "\u2028\u202e\x1b", "\udcff"]

OBJECTIVES = Table("Error budgets", ("objective", "budget left"), [("commit", "100.0%")])


@pytest.mark.parametrize("name", BAD)
def test_no_name_changes_the_structure_of_a_page(name):
    for page in (page_of_runs, lambda name: page_without_rounds(name, name, 1, is_one=False)):
        assert parsed(page(name)).structure == parsed(page("plain")).structure


def test_the_policy_lets_the_page_ask_its_own_server_and_nobody_else():
    for page in (page_of_runs("out"), page_without_rounds("run", "why", 1, is_one=True)):
        found = parsed(page)
        ((_, script),) = [each for each in found.all("script") if "type" not in each[0]]
        ((_, look),) = found.all("style")
        assert found.policy == {
            "default-src": "'none'",
            "script-src": sha256(script),
            "style-src": sha256(look),
            "connect-src": "'self'",
            "base-uri": "'none'",
            "form-action": "'none'",
            "require-trusted-types-for": "'script'",
            "trusted-types": "'none'",
        }
        forbidden = (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "Function(",
            "import(",
        )
        assert [word for word in (*forbidden, "localStorage", "Math.random") if word in script] == []
        assert set(re.findall(r"https?://[^\"'\s]+", script)) == {"http://www.w3.org/2000/svg"}


def test_every_script_and_style_that_lies_there_is_used():
    there = {each.name for each in (files("analysis.live") / "page").iterdir()}
    assert there == {*OF_LIST, *OF_RUN, STYLE}


def test_a_page_says_its_version_and_leads_back_where_there_is_a_list(run: Run):
    of_folder, of_one = (
        parsed(live_page(run, [("rounds", "12")], 12, OBJECTIVES, 7, is_one)) for is_one in (False, True)
    )
    assert [each["data-version"] for each, _ in of_folder.all("div") if each.get("id") == "live"] == ["7"]
    assert ({"href": "./"}, "All runs") in of_folder.all("a")
    assert ({"href": "./"}, "All runs") not in of_one.all("a")


def course(name: str, rounds: int, score: str = "accuracy") -> Course:
    values = [None if round % 3 == 0 else round / 7 for round in range(1, rounds + 1)]
    return Course(
        name,
        score,
        range(1, rounds + 1),
        dict.fromkeys(("best_validation_score", "coverage", "qd_score"), values),
    )


def test_each_run_is_a_line_of_each_chart_in_its_place():
    charts = comparison([course("a", 3), course("none", 0), course("b", 5)])
    assert [each["title"] for each in charts] == [
        "Validation accuracy, best organism",
        "Coverage",
        "QD score",
    ]
    for each in charts:
        assert [series["name"] for series in each["series"]] == ["a", "none", "b"]
        assert [series["x"] for series in each["series"]] == [[1, 2, 3], [], [1, 2, 3, 4, 5]]
        assert each["series"][0]["y"] == [
            pytest.approx(1 / 7, rel=1e-5),
            pytest.approx(2 / 7, rel=1e-5),
            None,
        ]


def test_long_runs_are_drawn_by_some_of_their_rounds_the_first_and_the_last_among_them():
    x = comparison([course("a", 5000)])[1]["series"][0]["x"]
    assert (len(x), x[0], x[-1]) == (MOST_POINTS, 1, 5000)


def test_runs_of_different_scores_are_compared_by_what_is_called_score():
    assert comparison([course("a", 1), course("b", 1, "R2")])[0]["title"] == "Validation score, best organism"
    assert comparison([])[0]["series"] == []
