import pytest

from runs.errors import ConfigError
from runs.experiments.plan import OTHER_OBJECTIVES, arm_called, planned, tasks
from tests.fixtures.experiments import planned_small, small_description


def test_an_arm_wins_over_settings_of_all_and_options_over_both():
    asked = small_description(
        settings={"lag": 2, "births": "clone"}, arms={"a": None, "b": {"births": "random"}}
    )
    plan = planned(asked, ["lag=3"], {"execution.workers": 7, "execution.executor": None})
    assert [(arm.config.births, arm.config.lag) for arm in plan.arms] == [("clone", 3), ("random", 3)]
    assert {arm.config.execution.workers for arm in plan.arms} == {7}
    assert [dict(arm.settings) for arm in plan.arms] == [{}, {"births": "random"}]


def test_all_is_done_seed_by_seed_and_arms_share_a_calibration():
    plan = planned_small()
    assert [str(task) for task in tasks(plan)] == [
        *("calibration of archive, seed 0", "archive, seed 0", "static, seed 0"),
        *("calibration of archive, seed 1", "archive, seed 1", "static, seed 1"),
    ]
    assert plan.notes == ()


def test_arms_that_change_what_a_calibration_depends_on_have_their_own_and_are_told_apart():
    arms = {
        "a": {},
        "wide": {"organism": {"dim": 32}},
        "b": {"births": "none"},
        "many": {"organism": {"count": 3}, "archive": {"rescore_every": 2}},
    }
    plan = planned_small(arms=arms | {"deep": {"organism": {"dim": 32}, "births": "none"}})
    assert {arm.name: arm.calibrator for arm in plan.arms} == {
        "a": "a",
        "wide": "wide",
        "b": "a",
        "many": "a",
        "deep": "wide",
    }
    assert plan.notes == (
        "arms that share a calibration: a, b, many; wide, deep; between these groups coverage, QD scores, "
        "objectives and behaviours are measured with different rulers",
    )


def test_objectives_of_different_definitions_are_told():
    arms = {"a": {}, "b": {"objective": {"task": 0.9, "efficiency": 0.0}}}
    assert planned_small(arms=arms).notes == (OTHER_OBJECTIVES,)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"arms": {"a": {"rouns": 3}}}, "arm a: smoke: rouns: unknown key; did you mean rounds"),
        ({"arms": {"a": {"births": "archiv"}}}, "arm a: .*did you mean archive"),
        ({"arms": {"a": {"seed": 3}}}, "arm a sets seed, but seeds name the seeds of all arms; leave it out"),
        (
            {"arms": {"a": {"calibration": {"from": "x"}}}},
            "arm a sets calibration.from, but the arms of a seed share",
        ),
        ({"settings": {"seed": 3}}, "the experiment sets seed, but"),
        (
            {"arms": {"a": {"execution": {"workers": 3}}}},
            "arm a sets execution.workers, but all arms are executed alike",
        ),
        ({"settings": {"execution": {"address": "auto"}}}, "execution.address is auto, but the runs"),
        ({"arms": {"a/b": {}}}, "an arm's name becomes that of a folder"),
        ({"arms": {"..": {}}}, "an arm's name becomes that of a folder"),
        ({"arms": {}}, "an experiment needs an arm"),
        ({"name": "a b"}, "the experiment's name becomes that of a folder"),
        ({"arms": {"a": {}, "b": {"births": "archive"}}}, "the arms a and b have the same settings"),
        ({"base": "digitz"}, "arm archive: no preset and no file is called digitz; did you mean digits"),
    ],
)
def test_what_cannot_be_an_experiment_is_one_sentence(changes, told):
    with pytest.raises(ConfigError, match=told) as raised:
        planned(small_description(**changes))
    assert "\n" not in str(raised.value)


def test_a_base_with_a_calibration_of_its_own_is_refused(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "base.yaml").write_text("calibration: {from: run}\n")
    with pytest.raises(ConfigError, match=r"arm archive sets calibration\.from, but"):
        planned(small_description(base=str(tmp_path / "base.yaml")))


def test_an_override_of_what_the_experiment_sets_is_refused():
    with pytest.raises(ConfigError, match="the experiment sets seed, but"):
        planned_small("seed=3")


def test_an_arm_is_found_by_its_name_or_the_nearest_is_named():
    plan = planned_small()
    assert arm_called("static", plan) == "static"
    with pytest.raises(
        ConfigError, match=r"has no arm statik; did you mean static\? its arms: archive, static"
    ):
        arm_called("statik", plan)
