"""Results that are made up, so that what has to come out is known; and those of a small experiment."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from archive_store.reading import open_run
from runs.errors import RunError
from runs.experiments.comparison import compared
from runs.experiments.folder import ExperimentFolder
from runs.experiments.further import speed
from runs.experiments.reading import found_in
from runs.experiments.report import Report, as_plain, table
from runs.experiments.results import RELATIVE_TIME, at_equal_flops, course_of, results_of
from runs.results.summary import summarise
from tests.fixtures.experiments import planned_small


def made_up(**arms):
    """One metric of several arms, over seeds from 0."""
    return {
        arm: {seed: {"qd_score": value, "validation_loss": value} for seed, value in enumerate(values)}
        for arm, values in arms.items()
    }


def rows(results, against):
    return {(row.metric, row.arm): row for row in compared(results, against)}


def report(results, against="base", notes=()):
    return Report("made up", {arm: {} for arm in results}, against, "accuracy", results, notes)


class TestComparison:
    results = made_up(base=[1.0, 5.0, 3.0, 9.0], better=[2.5, 6.0, 4.5, 11.0], same=[1.5, 4.5, 3.5, 8.5])

    def test_a_difference_is_shown_where_the_interval_leaves_out_0(self):
        found = rows(self.results, "base")
        assert found["qd_score", "base"].difference is None
        better, same = (found["qd_score", arm].difference for arm in ("better", "same"))
        assert (better.shown, same.shown) == (True, False)
        assert better.mean.value == pytest.approx(1.5)
        assert (better.seeds, same.mean.value) == (4, 0.0)

    def test_less_of_a_loss_is_an_improvement(self):
        found = rows(self.results, "base")
        score, loss = (found[metric, "better"].difference for metric in ("qd_score", "validation_loss"))
        assert score.improvement.value + loss.improvement.value == pytest.approx(1.0)
        assert score.improvement.value > 0.5
        assert score.mean == loss.mean or score.mean.value == loss.mean.value

    def test_only_seeds_that_both_have_are_paired(self):
        results = made_up(base=[1.0, 5.0, 3.0], other=[2.0])
        found = rows(results, "base")["qd_score", "other"]
        assert (found.seeds, found.difference.seeds, found.difference.shown) == (1, 1, None)
        apart = {**results, "other": {7: {"qd_score": 1.0}}}
        assert rows(apart, "base")["qd_score", "other"].difference is None

    def test_an_interval_ends_where_values_do(self):
        results = {"base": {0: {"coverage": 0.99}, 1: {"coverage": 0.9}}}
        assert rows(results, "base")["coverage", "base"].mean.high == 1.0


class TestReport:
    def test_it_says_what_is_not_known_in_words(self):
        text = table(report(made_up(base=[1.0, 5.0, 3.0], same=[1.5, 4.5, 3.0], one=[2.0]), notes=["a note"]))
        assert re.search(r"  same  3  .*no difference shown", text)
        assert re.search(r"  one +1  .*interval not available", text)
        assert "not measured: validation accuracy, best organism" in text
        assert "best held-out objective" in text.split("not measured")[1]
        assert "note: a note" in text
        assert not re.search(r"nan|None", text)

    def test_the_same_numbers_are_printed_each_time_also_as_json(self):
        results = made_up(base=[1.0, 5.0, 3.0], other=[2.0, 4.0, 4.0])
        assert table(report(results)) == table(report(results))
        plain = as_plain(report(results))
        assert json.loads(json.dumps(plain, allow_nan=False)) == plain
        assert plain["arms"]["other"]["seeds"] == [0, 1, 2]


def going_on(flops):
    rounds = np.arange(1.0, 1 + len(flops))
    values = {"best_validation_score": rounds, "validation_loss": -rounds, "qd_score": rounds}
    return pd.DataFrame(values | {"flops": flops, "best_objective": rounds / 10})


def of_run(path):
    return results_of({"it": {0: path}})["it"][0]


class TestRuns:
    @pytest.mark.long
    def test_a_run_came_to_what_show_says_of_it(self, done):
        path = done.cell("archive", 0)
        found, summary = of_run(path), summarise(path)
        assert found["test_score"] == summary.best_accuracy
        assert found["qd_score"] == summary.qd_score
        assert (found["births"], found["deaths"]) == (summary.births, summary.deaths)
        last = open_run(path).census().query("round == 2")
        assert found["validation_loss"] == pytest.approx(last["validation_loss"].mean())
        assert found["validation_score"] == last["validation_score"].max()
        with open_run(path).directory.journal() as journal:
            (event,) = journal.events(round=2, kind="held_out")
        assert found["held_out_qd_score"] == event.value["qd_score"]
        assert found["held_out_coverage"] == event.value["coverage"]

    @pytest.mark.long
    def test_a_static_pool_has_no_births(self, done):
        found = of_run(done.cell("static", 0))
        assert (found["births"], found["deaths"]) == (0.0, 0.0)
        assert "trial_gain" not in found

    def test_the_gain_of_births_is_that_of_their_best_candidates(self, undisturbed):
        gains = {}
        with open_run(undisturbed).directory.journal() as journal:
            for event in journal.events(kind="census"):
                for trial in event.value.get("trials", ()):
                    gains[event.value["organism"], event.round, trial["slot"]] = max(trial["gains"])
        assert of_run(undisturbed)["trial_gain"] == pytest.approx(np.mean(list(gains.values())))

    def test_flops_are_counted_up_over_rounds(self, done):
        run = open_run(done.cell("archive", 0))
        course = course_of(run)
        if "flops" in course:
            kinds = [name for name in course if name.startswith("flops_")]
            assert list(course["flops"]) == list(course[kinds].sum(axis=1).cumsum())
        assert of_run(run.directory.path)["flops_emitters"] == course["flops_emitters"].sum()

    def test_at_equal_flops_it_is_the_last_round_that_all_can_pay(self):
        cheap, dear = going_on([1.0, 2.0, 3.0, 4.0]), going_on([2.0, 4.0, 6.0, 8.0])
        assert at_equal_flops(cheap, [cheap, dear])["equal_qd_score"] == 4.0
        assert at_equal_flops(dear, [cheap, dear])["equal_qd_score"] == 2.0
        assert at_equal_flops(dear, [cheap, dear])["equal_best_objective"] == 0.2
        assert at_equal_flops(dear, [dear]) == {}
        assert at_equal_flops(dear, [dear, dear.drop(columns="flops")]) == {}
        assert at_equal_flops(going_on([9.0]), [cheap, dear]) == {}

    def test_what_runs_of_a_seed_came_to_at_equal_flops_is_found(self, done):
        paths = {arm: {0: done.cell(arm, 0)} for arm in ("archive", "static")}
        found = results_of(paths)
        for arm, own in found.items():
            last = course_of(open_run(paths[arm][0])).iloc[-1]
            assert own[0]["equal_qd_score"] == last["qd_score"]  # nothing was born yet: they cost the same
        assert not [name for name in of_run(paths["archive"][0]) if name.startswith("equal_")]

    def test_what_is_not_finished_is_named(self, done):
        plan = planned_small(seeds=[0, 9])
        found = found_in(done, plan)
        assert found.notes == ("not finished: archive, seed 9; static, seed 9",)
        assert {arm: list(runs) for arm, runs in found.results.items()} == {"archive": [0], "static": [0]}

    def test_without_a_finished_run_there_is_nothing_to_say(self, tmp_path):
        folder = ExperimentFolder(tmp_path / "new")
        folder.create(planned_small())
        with pytest.raises(RunError, match=r"no run of .* is finished yet"):
            found_in(folder, folder.plan())


class TestSpeed:
    def test_arms_take_turns_and_the_least_counts(self):
        ticks = iter([0.1, 0.1, 1.0, 4.0, 3.0, 2.0])  # the first turn warms up
        now, order = [0.0], []

        def doing(name):
            def work():
                order.append(name)
                now[0] += next(ticks)

            return work

        assert speed.turns([doing("a"), doing("b")], lambda: now[0], 2) == pytest.approx([1.0, 2.0])
        assert order == ["a", "b"] * 3

    def test_ratios_are_of_one_seed(self):
        seconds = {"base": {0: 2.0, 1: 4.0}, "other": {0: 1.0, 1: 4.0, 2: 3.0}}
        assert speed.ratios(seconds, "base") == {"base": {0: 1.0, 1: 1.0}, "other": {0: 0.5, 1: 1.0}}
        results = made_up(base=[1.0, 2.0], other=[1.0, 2.0])
        found = speed.with_speed(results, speed.ratios(seconds, "base"))
        assert [runs[0][RELATIVE_TIME] for runs in found.values()] == [1.0, 0.5]

    def test_best_networks_are_timed_and_what_was_found_is_kept(self, done, tmp_path):
        ticks = iter(range(1000))
        seconds = speed.measured(done, done.plan(), lambda: float(next(ticks)))
        assert seconds == {arm: {0: 1.0, 1: 1.0} for arm in ("archive", "static")}
        folder = ExperimentFolder(tmp_path)
        assert speed.kept(folder) == {}
        speed.keep(folder, seconds)
        assert speed.kept(folder) == seconds
