import math
from dataclasses import replace

import numpy as np
import pytest

from archive_store.reading import open_run
from qd.canonical import plain
from runs import tasks
from runs.calibration.outlook import Outlook, foreseen, outlook, stop_if_diverged, warnings
from runs.errors import RunError
from runs.launch import launch
from runs.training.calibration_jobs import Fit, Worth, constant_loss
from tests.fixtures.small_runs import small
from tests.runs.tasks.test_tasks import Asked

FAIR = Outlook(loss=0.5, constant_loss=2.3, useful=30, assayed=40)


def test_the_best_constant_answer_is_the_shares_of_the_classes_or_the_means_of_the_outputs():
    digits = tasks.load(Asked("digits"))
    assert constant_loss(digits, np.array([0, 0, 0, 7])) == pytest.approx(
        -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    )
    sine = tasks.load(Asked("sine"))
    targets = np.array([1.0, 3.0, 5.0], dtype=np.float32).reshape(-1, *sine.train.targets.shape[1:])
    assert constant_loss(replace(sine, name="sine"), targets) == pytest.approx(8 / 3)


def test_a_component_counts_as_useful_if_its_lower_bound_is_above_0():
    found = outlook(
        Fit(0.5, 2.5, 2.3),
        [Worth(mean, lower, 1.0) for mean, lower in ((0.2, 0.1), (0.2, -0.1), (0.1, 0.0), (1.0, math.nan))],
        [("halton", 0.02), ("kmeans", 0.01)],
    )
    assert found == Outlook(0.5, 2.3, useful=1, assayed=4, quantisation=(("halton", 0.02), ("kmeans", 0.01)))
    assert Outlook.read(plain(found)) == found


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"loss": 2.29}, "the organism of calibration has learned nothing yet: a training loss of 2.29"),
        ({"useful": 7}, "only 7 of 40 components of calibration help the reference hosts for certain"),
    ],
)
def test_what_will_keep_the_archive_empty_is_warned_of(change, sentence):
    assert list(warnings(FAIR)) == []
    (told,) = warnings(replace(FAIR, **change))
    assert told.startswith(sentence)


def test_a_weak_space_is_warned_of_too_and_an_old_run_has_no_outlook():
    verdict = {
        "reasons": ["the KMO is 0.5"],
        "names": ["a", "b", "c"],
        "advice": ["a: keep", "b: replace", "c: keep"],
    }
    weak, ways = foreseen(FAIR, verdict)
    assert weak == "the behaviour space: the KMO is 0.5"
    assert ways.startswith(
        "Ways out: fewer measures, such as measures=[a, c]; one of the 18 other built-in measures"
    )
    assert foreseen(None, verdict) == [weak, ways]
    assert len(foreseen(replace(FAIR, useful=0), verdict)) == 3
    assert foreseen(FAIR, verdict | {"reasons": []}) == []


def test_training_that_diverged_is_blamed_before_any_measure(tmp_path):
    stop_if_diverged(Fit(4.5, 2.0, 2.3))
    stop_if_diverged(Fit(4.5, 2.3, 0.2))
    with pytest.raises(RunError, match=r"diverged in calibration: from a training loss of .*learning_rate"):
        launch(small("training.learning_rate=1e9"), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_a_run_keeps_it_and_a_launch_tells_of_it_and_of_its_stages(tmp_path):
    reports = []
    run = launch(small(), tmp_path / "run", reports.append)
    told = [progress.message for progress in reports]
    stages = list(dict.fromkeys(progress.stage for progress in reports))
    assert stages == ["loading", "starting workers", "calibration", "rounds"]
    event = open_run(run).calibration()
    kept = Outlook.read(event["outlook"])
    assert 0 <= kept.useful <= kept.assayed
    assert kept.constant_loss == pytest.approx(math.log(10), rel=0.05)
    assert [text for text in told if text] == foreseen(kept, event["verdict"]) != []
