from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import style, validity
from archive_store.reading import Run
from qd.measures import MEASURES


def test_matrix_is_that_of_the_last_check(run: Run) -> None:
    last = run.directory.journal()
    with last as journal:
        verdict = list(journal.events(kind="validity"))[-1].value["verdict"]
    matrix = validity.correlation_matrix(run.validity())
    np.testing.assert_array_equal(matrix, verdict["correlations"])
    assert tuple(matrix.index) == tuple(matrix.columns) == MEASURES


def test_samples_of_calibration_and_of_later_checks_are_counted(axes: Axes) -> None:
    checks = pd.DataFrame({"round": [8, 0, 4], "n": [12, 128, 16], "organisms": [2, 4, 2]})
    expected = "calibration: n = 128 rows of 4 organisms\nlater checks: n = 12 to 16 rows of 2 organisms"
    assert validity.samples(checks) == expected
    assert [text.get_text() for text in validity.sizes(checks, axes).texts] == [expected]
    assert validity.samples(checks.assign(n=np.nan)) == ""


def test_matrix_passes_over_checks_without_correlations() -> None:
    columns = [f"correlation_{first}_{second}" for first, second in combinations("abcde", 2)]
    checks = pd.DataFrame([[0.25] * 10, [np.nan] * 10], columns=columns).assign(round=[0, 10])
    checks = checks.assign(**{f"msa_{name}": np.nan for name in "abcde"})
    matrix = validity.correlation_matrix(checks)
    np.testing.assert_array_equal(matrix, 0.25 + 0.75 * np.eye(5))
    assert np.isnan(validity.correlation_matrix(checks[1:]).to_numpy()[np.triu_indices(5, 1)]).all()


def test_correlations_are_written_in_the_cells(axes: Axes) -> None:
    matrix = np.eye(5)
    matrix[0, 1] = matrix[1, 0] = -0.756
    matrix[0, 2] = matrix[2, 0] = np.nan
    validity.correlations(pd.DataFrame(matrix, columns=MEASURES), axes)
    texts = {text.get_position(): text.get_text() for text in axes.texts}
    assert len(texts) == 18  # neither the diagonal nor what is not known
    assert texts[(1, 0)] == texts[(0, 1)] == "-0.76"
    assert [tick.get_text() for tick in axes.get_yticklabels()] == [
        name.replace("_", " ") for name in MEASURES
    ]


def test_kmo_has_its_interval_and_verdicts(run: Run, axes: Axes) -> None:
    checks = run.validity()
    validity.kmo(checks, axes)
    spans = np.array(axes.collections[0].get_segments())
    np.testing.assert_allclose(spans[:, :, 1], checks[["kmo_low", "kmo_high"]])
    points = {line.get_label(): line.get_xdata() for line in axes.lines}
    for status, part in checks.groupby("status"):
        np.testing.assert_array_equal(points[status], part["round"])


@pytest.mark.parametrize("status", ["skipped", "stop"])
def test_checks_without_a_kmo_stand_at_the_foot(status: str, axes: Axes) -> None:
    checks = pd.DataFrame({"round": [0], "kmo": [np.nan], "kmo_low": [np.nan], "kmo_high": [np.nan]})
    validity.kmo(checks.assign(status=status), axes)
    found = {line.get_label(): list(line.get_ydata()) for line in axes.lines}
    assert found[status] == [0.0]


def test_curves_follow_the_checks(run: Run, axes: Axes) -> None:
    checks = run.validity()
    validity.msa(checks, axes)
    for name, line in zip(MEASURES, axes.lines[:5], strict=True):
        assert line.get_label() == name.replace("_", " ")
        np.testing.assert_array_equal(line.get_ydata(), checks[f"msa_{name}"])


def test_measures_of_ones_own_are_named(own: Run, figure: Figure) -> None:
    checks, (left, right) = own.validity(), figure.subplots(1, 2)
    validity.msa(checks, left)
    assert [line.get_label() for line in left.lines[:5]] == [style.plain(name) for name in own.measures]
    np.testing.assert_array_equal(left.lines[1].get_ydata(), checks["msa_written_norm"])
    validity.correlations(validity.correlation_matrix(checks), right)
    assert right.get_xticklabels()[1].get_text() == right.get_yticklabels()[1].get_text() == "written norm"


@pytest.mark.parametrize("sized", [3, 8], indirect=True)
def test_each_measure_has_a_look_of_its_own(sized: Run, axes: Axes) -> None:
    validity.msa(sized.validity(), axes)
    lines = axes.lines[: len(sized.measures)]
    assert [line.get_label() for line in lines] == [style.plain(name) for name in sized.measures]
    assert len({line.get_color() for line in lines}) == len(lines)
    assert len({line.get_marker() for line in lines}) == len(lines)


@pytest.mark.parametrize("sized", [2], indirect=True)
def test_two_measures_have_verdicts_and_a_sentence_in_place_of_a_kmo(sized: Run, axes: Axes) -> None:
    checks = sized.validity()
    validity.verdicts(checks, axes)
    (line,) = axes.lines
    assert line.get_label() == "warn"
    np.testing.assert_array_equal(line.get_xdata(), checks["round"])
    (text,) = axes.texts
    assert text.get_text() == "The KMO needs at least three measures\nand was not computed."


def test_the_gate_of_the_dimension_is_a_share_of_the_number_of_measures(sized: Run, axes: Axes) -> None:
    validity.effective_dimension(sized.validity(), axes)
    count = len(sized.measures)
    assert axes.get_ylim() == (1.0, count)
    assert axes.lines[1].get_ydata()[0] == pytest.approx(0.6 * count)
    assert validity.correlation_matrix(sized.validity()).shape == (count, count)


@pytest.mark.parametrize(("curve", "limit"), [("largest_correlation", 0.95), ("effective_dimension", 3.0)])
def test_limits_of_the_verdict_are_drawn(curve: str, limit: float, run: Run, axes: Axes) -> None:
    checks = run.validity()
    getattr(validity, curve)(checks, axes)
    line, level = axes.lines
    np.testing.assert_array_equal(line.get_ydata(), checks[curve])
    assert level.get_ydata()[0] == pytest.approx(limit)
