"""What an experiment asks of its runs beyond their results: names, profiles, and where it is told."""

import numpy as np
import pytest

from runs.errors import ConfigError
from runs.experiments.further import profiles
from runs.experiments.further.asked import checked, studies
from runs.experiments.report import Report, as_plain, table


def test_names_are_known_and_each_is_asked_for_once():
    assert checked(["placement", "placement"]) == ("placement",)
    with pytest.raises(
        ConfigError, match=r"called placment; did you mean placement\? known: degradation, pl"
    ):
        checked(["placment"])


def test_without_a_question_there_is_no_study(done):
    assert studies(done, done.plan(), ()) == ()


def made_up(**arms):
    return {
        arm: {seed: {"test_score": score} for seed, score in enumerate(each)} for arm, each in arms.items()
    }


class TestProfiles:
    results = made_up(base=[0.1, 0.2, 0.3, 0.4], other=[0.5, 0.6, 0.7])

    def test_thresholds_are_the_quartiles_of_the_runs_of_all_arms(self):
        assert profiles.quartiles(self.results, "test_score") == pytest.approx([0.25, 0.4, 0.55])
        assert len(profiles.quartiles(made_up(one=[0.5, 0.5]), "test_score")) == 1
        assert len(profiles.quartiles(self.results, "mean_test_score")) == 0
        assert len(profiles.fine({}, "test_score")) == 0
        fine = profiles.fine(self.results, "test_score")
        assert fine[0] < 0.1 < 0.7 < fine[-1]

    def test_they_are_told_as_text_and_as_json(self):
        report = Report("made up", {"base": {}, "other": {}}, "base", "accuracy", self.results)
        lines = table(report).splitlines()
        place = lines.index("share of seeds above a test accuracy of the best organism")
        assert lines[place + 1].split() == ["above", "0.2500", "above", "0.4000", "above", "0.5500"]
        assert [line.split()[:2] for line in lines[place + 2 : place + 4]] == [
            ["base", "0.50"],
            ["other", "1.00"],
        ]
        plain = as_plain(report)["profiles"]["test_score"]["arms"]
        assert plain["base"]["shares"] == [0.5, 0.0, 0.0]
        assert plain["other"]["shares"] == pytest.approx([1.0, 1.0, 2 / 3])
        assert np.shape(plain["base"]["low"]) == (3,)

    def test_one_seed_has_shares_and_no_band(self):
        plain = profiles.as_plain(made_up(one=[0.5]))["test_score"]["arms"]["one"]
        assert plain == {"shares": [0.0], "low": None, "high": None}
        assert list(profiles.drawn(made_up(one=[0.5]), "R2")) == ["test R2 of the best organism"]
        assert profiles.drawn({}, "R2") == {}
