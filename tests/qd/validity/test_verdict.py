import itertools
import math
import re

import numpy as np
import pytest
from factor_analyzer import calculate_bartlett_sphericity, calculate_kmo
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import pearsonr

from qd.canonical import canonical
from qd.measures import MEASURES, Ranges
from qd.validity import adequacy
from qd.validity.verdict import GATES, MEANINGS, Verdict, assess, grade

NAMES = (*MEASURES, "mine:reach", "mine:norm", "mine:pace")
NOTHING_COMPUTED = ("kmo", "kmo_interval", "msa", "bartlett_chi2", "bartlett_p")


def judge(samples, groups=None, gate="robust", stops=True, reliability=None, ranges=None, seed=0) -> Verdict:
    if groups is None:
        groups = np.arange(len(samples)) // 8
    names = NAMES[: np.shape(samples)[1]]
    return assess(samples, groups, names, reliability, ranges, gate, seed, stops)


def normals(n: int = 128, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 5))


def structured(n: int = 400, seed: int = 0, p: int = 5, r: float = 0.4) -> np.ndarray:
    """One factor that all share: r between any two."""
    rng = np.random.default_rng(seed)
    return np.sqrt(r) * rng.normal(size=(n, 1)) + np.sqrt(1 - r) * rng.normal(size=(n, p))


def collider(n: int = 400, seed: int = 0) -> np.ndarray:
    """Four independent measures and their noisy sum: partial correlations exceed correlations."""
    samples = normals(n, seed)
    samples[:, 4] = samples[:, :4].sum(axis=1) + 0.3 * samples[:, 4]
    return samples


def test_reference_values():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(200, 2))
    samples = z @ rng.normal(size=(2, 5)) + 0.5 * rng.normal(size=(200, 5))
    verdict = judge(samples)
    assert verdict.kmo == pytest.approx(0.782204, abs=1e-6)
    assert verdict.bartlett_chi2 == pytest.approx(1071.1635, abs=1e-4)
    assert verdict.bartlett_p == pytest.approx(8.67e-224, rel=1e-3)
    # A high KMO is not a good one: two factors do not make five dimensions.
    assert verdict.status == "stop"
    values = np.linalg.eigvalsh(np.corrcoef(samples.T))
    assert verdict.effective_dimension == pytest.approx(values.sum() ** 2 / np.sum(values**2), rel=1e-9)
    assert f"amount to {verdict.effective_dimension:.2f} independent ones, under 3" in verdict.reasons[0]


def test_a_sound_space_is_ok():
    verdict = judge(structured(), reliability=[0.9] * 5)
    assert verdict.status == "ok"
    assert verdict.reasons == ()
    assert verdict.advice == tuple(f"{name}: keep" for name in MEASURES)
    assert (verdict.n, verdict.organisms, verdict.gate) == (400, 50, "robust")
    assert verdict.kmo_interval[0] < verdict.kmo < verdict.kmo_interval[1]
    np.testing.assert_allclose(verdict.correlations, np.corrcoef(structured().T), atol=1e-12)
    assert verdict.largest_correlation == pytest.approx(
        np.abs(np.corrcoef(structured().T) - np.eye(5)).max(), abs=1e-12
    )
    assert verdict.reliability == (0.9,) * 5


def test_no_unit_or_offset_changes_the_verdict():
    scaled = structured() * np.array([1e-6, 1.0, 1e6, -3.0, 1e3]) + np.array([0.0, 1.0, 5.0, 2.0, -7.0])
    one, other = judge(structured()), judge(scaled)
    assert one.status == other.status
    assert one.kmo == pytest.approx(other.kmo, abs=1e-9)
    assert one.kmo_interval == pytest.approx(other.kmo_interval, abs=1e-9)


def test_the_same_seed_gives_the_same_text_and_another_seed_another_interval():
    assert canonical(judge(structured())) == canonical(judge(structured()))
    assert judge(structured()).kmo_interval != judge(structured(), seed=1).kmo_interval


@pytest.mark.parametrize(
    ("gate", "stops", "status"),
    [
        ("robust", True, "stop"),
        ("blueprint", True, "stop"),
        ("off", True, "warn"),
        ("robust", False, "warn"),
        ("blueprint", False, "warn"),
    ],
)
def test_a_kmo_certainly_under_one_half(gate, stops, status):
    verdict = judge(collider(), gate=gate, stops=stops)
    assert verdict.kmo_interval[1] < 0.5
    assert verdict.status == status
    assert "the measures share little structure; consider replacing" in verdict.reasons[0]


def test_a_kmo_perhaps_under_one_half_stops_the_blueprints_gate_only():
    low = next(seed for seed in range(20) if judge(normals(seed=seed)).kmo < 0.47)
    verdict = judge(normals(seed=low))
    assert verdict.kmo_interval[1] >= 0.5
    assert verdict.status == "warn"
    assert (
        f"the KMO is {verdict.kmo:.3f} (95 % interval {verdict.kmo_interval[0]:.3f} to" in verdict.reasons[0]
    )
    assert judge(normals(seed=low), gate="blueprint").status == "stop"
    worst = verdict.names[int(np.argmin(verdict.msa))]
    assert any(advice.startswith(f"{worst}: replace: the KMO") for advice in verdict.advice)


@pytest.mark.parametrize("gate", GATES)
def test_a_kmo_between_one_half_and_six_tenths_warns(gate):
    middling = next(seed for seed in range(40) if 0.51 < judge(normals(seed=seed)).kmo < 0.6)
    assert judge(normals(seed=middling), gate=gate).status == "warn"


def test_without_an_interval_the_robust_gate_cannot_stop():
    verdict = judge(collider(), groups=np.zeros(400))
    assert verdict.kmo < 0.5
    assert verdict.kmo_interval is None
    assert verdict.status == "warn"
    assert verdict.reasons[0].startswith("the KMO has no interval: too few organisms")


def with_column(value) -> np.ndarray:
    samples = structured()
    samples[:, 2] = value(samples)
    return samples


DEGENERATE = {
    "constant": (with_column(lambda x: 7.0), "gradient_flow is constant"),
    "zero": (with_column(lambda x: 0.0), "gradient_flow is constant"),
    "constant but for rounding": (
        with_column(lambda x: np.float32(0.3) + 1e-8 * np.sign(x[:, 0])),
        "gradient_flow is constant",
    ),
    "all constant": (np.ones((50, 5)), "attention_span is constant"),
    "NaN": (with_column(lambda x: np.where(x[:, 0] > 1, np.nan, x[:, 2])), "gradient_flow is not finite in"),
    "infinite": (with_column(lambda x: np.inf), "gradient_flow is not finite in 400 of 400 rows"),
    "duplicated": (
        with_column(lambda x: x[:, 1]),
        "activation_sparsity and gradient_flow are duplicates; replace gradient_flow",
    ),
    "duplicated in another unit": (with_column(lambda x: 5 - 3 * x[:, 1]), "are duplicates"),
    "a sum of others": (
        with_column(lambda x: x[:, 0] + x[:, 1] - x[:, 3]),
        "near-singular: attention_span, activation_sparsity, gradient_flow, access_locality depend",
    ),
}


@pytest.mark.parametrize("case", DEGENERATE)
@pytest.mark.parametrize(("gate", "stops"), [("robust", True), ("off", True), ("robust", False)])
def test_degenerate_samples_have_a_status_and_a_reason(case, gate, stops):
    samples, reason = DEGENERATE[case]
    verdict = judge(samples, gate=gate, stops=stops)
    assert verdict.status == ("stop" if stops and gate != "off" else "warn")
    assert any(reason in found for found in verdict.reasons), verdict.reasons
    assert all(getattr(verdict, name) is None for name in NOTHING_COMPUTED)
    assert "NaN" not in canonical(verdict)
    assert "Infinity" not in canonical(verdict)


def test_degenerate_measures_are_listed_by_name():
    assert judge(DEGENERATE["constant"][0]).constant == ("gradient_flow",)
    assert judge(DEGENERATE["duplicated"][0]).duplicated == (("activation_sparsity", "gradient_flow"),)
    assert (
        judge(DEGENERATE["constant"][0])
        .advice[2]
        .startswith("gradient_flow: replace: gradient_flow is constant")
    )


@pytest.mark.parametrize("n", [0, 1, 5, 6])
def test_too_few_rows_stop_at_calibration_and_are_skipped_later(n):
    for gate, stops, status in (
        ("robust", True, "stop"),
        ("robust", False, "skipped"),
        ("off", True, "skipped"),
    ):
        verdict = judge(normals(n), gate=gate, stops=stops)
        assert verdict.status == status
        assert f"{n} rows are too few for 5 measures; sample at least 7 components" in verdict.reasons
        assert verdict.correlations is None
        assert all(getattr(verdict, name) is None for name in NOTHING_COMPUTED)


def test_the_least_number_of_rows_is_enough():
    verdict = judge(normals(7), groups=np.arange(7))
    assert verdict.kmo is not None
    assert verdict.kmo_interval is None  # most draws of seven rows with replacement are singular
    assert "NaN" not in canonical(verdict)


def test_one_measure_is_too_few():
    verdict = judge(normals()[:, :1])
    assert verdict.status == "stop"
    assert verdict.reasons == ("one measure has no other to be compared with; give at least two",)


@pytest.mark.parametrize("p", [3, 5, 8])
def test_the_statistics_are_those_of_factor_analyzer_for_any_number_of_measures(p):
    samples = structured(p=p, r=0.3)
    verdict = judge(samples, reliability=[0.9] * p)
    assert (verdict.status, verdict.names) == ("ok", NAMES[:p])
    msa, kmo = calculate_kmo(samples)
    assert verdict.kmo == pytest.approx(kmo, abs=1e-9)
    assert verdict.msa == pytest.approx(tuple(msa), abs=1e-9)
    statistic, p_value = calculate_bartlett_sphericity(samples)
    assert verdict.bartlett_chi2 == pytest.approx(statistic, rel=1e-9)
    assert verdict.bartlett_p == pytest.approx(p_value, rel=1e-9)
    r = np.corrcoef(samples.T)
    np.testing.assert_allclose(verdict.correlations, r, atol=1e-12)
    assert verdict.effective_dimension == pytest.approx(p**2 / np.sum(r**2))


@pytest.mark.parametrize(("p", "least"), [(2, "1.2"), (3, "1.8"), (5, "3"), (8, "4.8")])
def test_the_least_dimension_is_a_share_of_the_number_of_measures(p, least):
    rng = np.random.default_rng(p)
    samples = 3 * rng.normal(size=(400, 1)) + rng.normal(size=(400, p))
    verdict = judge(samples)
    dimension = f"{p} measures amount to {verdict.effective_dimension:.2f} independent ones, under {least}; "
    assert verdict.status == "stop"
    assert any(reason.startswith(dimension) for reason in verdict.reasons)


NO_KMO = (
    "the KMO needs at least three measures and was not computed; "
    "the correlation, Bartlett's test and the effective dimension were"
)


class TestTwoMeasures:
    """What can be computed is; of the KMO one sentence says that it was not."""

    @pytest.mark.parametrize("gate", GATES)
    @pytest.mark.parametrize("stops", [True, False])
    def test_every_gate_goes_on_without_a_kmo(self, gate, stops):
        samples = structured(p=2)
        verdict = judge(samples, gate=gate, stops=stops, reliability=[0.9, 0.8])
        assert (verdict.status, verdict.reasons) == ("warn", (NO_KMO,))
        assert (verdict.kmo, verdict.kmo_interval, verdict.msa) == (None, None, None)
        r, p_value = pearsonr(*samples.T)
        np.testing.assert_allclose(verdict.correlations, [[1, r], [r, 1]], atol=1e-12)
        assert verdict.largest_correlation == pytest.approx(abs(r))
        assert verdict.effective_dimension == pytest.approx(2 / (1 + r**2))
        assert verdict.bartlett_chi2 == pytest.approx(-(400 - 2.5) * math.log(1 - r**2))
        assert verdict.bartlett_p == pytest.approx(
            p_value, rel=0.1
        )  # of another test of the same correlation
        assert verdict.advice == tuple(f"{name}: keep" for name in MEASURES[:2])

    def test_uncorrelated_ones_are_as_good(self):
        verdict = judge(np.array(list(itertools.product(range(10), repeat=2)), dtype=float))
        assert verdict.reasons == (NO_KMO,)
        assert verdict.effective_dimension == pytest.approx(2.0)
        assert verdict.bartlett_p == pytest.approx(1.0)

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (lambda x: x[:, 0], "are duplicates; replace"),
            (lambda x: x[:, 0] + 0.2 * x[:, 1], r"are too closely correlated \(r = 0\.9[78]"),
            (
                lambda x: x[:, 0] + 0.5 * x[:, 1],
                r"2 measures amount to 1\.1\d independent ones, under 1\.2; ",
            ),
            (lambda x: 0 * x[:, 1] + 3.0, "activation_sparsity is constant; vary"),
            (lambda x: np.where(x[:, 1] > 2, np.nan, x[:, 1]), "activation_sparsity is not finite in"),
        ],
    )
    def test_other_criteria_stop_as_ever(self, change, reason):
        samples = normals(400)[:, :2]
        samples[:, 1] = change(samples)
        for gate, status in (("robust", "stop"), ("blueprint", "stop"), ("off", "warn")):
            verdict = judge(samples, gate=gate)
            assert verdict.status == status
            assert any(re.search(reason, found) for found in verdict.reasons), verdict.reasons
            assert "NaN" not in canonical(verdict)

    def test_of_duplicates_it_is_not_said_that_bartletts_test_was_computed(self):
        verdict = judge(np.repeat(normals()[:, :1], 2, axis=1))
        assert verdict.bartlett_p is None
        assert verdict.reasons[-1].endswith("not computed; the correlation and the effective dimension were")

    def test_reliability_and_saturation_are_judged(self):
        samples = structured(p=2)
        ranges = Ranges((-10.0, -10.0), (10.0, float(np.median(samples[:, 1]))))
        verdict = judge(samples, reliability=[0.4, 0.9], ranges=ranges)
        assert (verdict.status, verdict.saturation) == ("stop", (0.0, 0.5))
        assert [reason.split(";")[0] for reason in verdict.reasons[:2]] == [
            "the reliability of attention_span is 0.40, under 0.5",
            "50% of the rows lie beyond the range of activation_sparsity",
        ]

    def test_four_rows_are_enough_and_three_too_few(self):
        assert judge(normals(4)[:, :2]).bartlett_p is not None
        assert (
            judge(normals(3)[:, :2])
            .reasons[0]
            .startswith("3 rows are too few for 2 measures; sample at least 4")
        )


def test_measures_without_any_correlation_have_no_kmo():
    verdict = judge(np.array(list(itertools.product([-1.0, 1.0], repeat=5)) * 2))
    assert verdict.kmo is None
    assert verdict.bartlett_p == pytest.approx(1.0)
    assert verdict.effective_dimension == pytest.approx(5.0)
    assert "no two measures are correlated at all, so that there is no KMO" in verdict.reasons


def test_one_measure_without_any_correlation_has_no_msa():
    others = np.repeat(structured(40)[:, :4], 2, axis=0)
    verdict = judge(np.column_stack([others, np.tile([-1.0, 1.0], 40)]))
    assert verdict.kmo is not None
    assert "NaN" not in canonical(verdict)


@pytest.mark.parametrize("sign", [1, -1])
def test_close_correlation_stops_and_names_the_less_reliable(sign):
    samples = with_column(lambda x: sign * x[:, 0] + 0.2 * x[:, 2])
    r = np.corrcoef(samples.T)[0, 2]
    assert abs(r) > 0.95
    for reliability, worse in (([0.6, 1, 1, 1, 1], "attention_span"), ([1, 1, 0.6, 1, 1], "gradient_flow")):
        verdict = judge(samples, reliability=reliability)
        assert verdict.status == "stop"
        pair = f"attention_span and gradient_flow are too closely correlated (r = {r:.3f}); replace {worse}"
        assert verdict.reasons[0] == pair
        assert verdict.kmo is not None


def test_low_or_unknown_reliability_stops():
    verdict = judge(structured(), reliability=[0.9, 0.49, 0.5, np.nan, 0.9])
    assert verdict.status == "stop"
    assert verdict.reliability == (0.9, 0.49, 0.5, None, 0.9)
    assert [reason.split(";")[0] for reason in verdict.reasons] == [
        "the reliability of activation_sparsity is 0.49, under 0.5",
        "the reliability of access_locality is unknown",
    ]


def test_saturation_is_the_share_beyond_the_range_and_warns():
    samples = structured()
    high = (10.0, 10.0, float(np.median(samples[:, 2])), 10.0, 10.0)
    verdict = judge(samples, ranges=Ranges(low=(-10.0,) * 5, high=high))
    assert verdict.saturation == (0.0, 0.0, 0.5, 0.0, 0.0)
    assert verdict.status == "warn"
    assert verdict.reasons[0].startswith("50% of the rows lie beyond the range of gradient_flow")


def test_few_distinct_values_warn():
    verdict = judge(with_column(lambda x: np.round(np.clip(x[:, 2], -2, 2))))
    assert verdict.status == "warn"
    assert verdict.reasons[0].startswith("gradient_flow has only 5 distinct values, under 8")


VALUES = st.floats(-1e308, 1e308) | st.sampled_from([0.0, 1.0, 1e-300, 1e300, np.nan, np.inf, -np.inf])


@given(
    st.tuples(st.integers(0, 14), st.sampled_from([1, 2, 3, 5, 8])).flatmap(
        lambda shape: arrays(np.float64, shape, elements=VALUES)
    ),
    st.sampled_from(GATES),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_whatever_comes_the_verdict_has_a_reason_and_never_a_nan(samples, gate, stops):
    verdict = judge(samples, groups=np.arange(len(samples)) % 3, gate=gate, stops=stops)
    text = canonical(verdict)
    assert "NaN" not in text
    assert "Infinity" not in text
    assert (verdict.status == "ok") == (not verdict.reasons)
    assert len(verdict.advice) == samples.shape[1]
    assert stops or verdict.status != "stop"


@given(st.integers(0, 999), st.integers(20, 40), st.sampled_from([0.0, 1e-12, 1e-7, 1e-5, 1e-3, 0.1]))
@settings(max_examples=60, deadline=None)
def test_nearly_dependent_measures_are_either_computed_well_or_refused(seed, n, noise):
    samples = normals(n, seed)
    samples[:, 3] = samples[:, 0] - samples[:, 4] + noise * samples[:, 3]
    verdict = judge(samples, groups=np.arange(n))
    assert "NaN" not in canonical(verdict)
    if noise < 1e-5:
        assert verdict.kmo is None
        assert verdict.status == "stop"
    if noise > 1e-4:
        columns = adequacy.standardised(samples)
        assert verdict.kmo == pytest.approx(float(adequacy.kmo(np.corrcoef(columns.T))), abs=1e-6)


@pytest.mark.parametrize(
    ("kmo", "word"),
    [(0.59, "unacceptable"), (0.6, "acceptable"), (0.79, "acceptable"), (0.8, "good"), (0.9, "excellent")],
)
def test_a_kmo_has_the_blueprints_word(kmo, word):
    assert grade(kmo) == word


def test_a_verdict_counts_components_of_both_kinds_unless_measures_depend_on_one_another():
    samples = normals(60)
    columns = adequacy.standardised(samples)
    verdict = judge(samples)
    assert verdict.principal_components == adequacy.principal_components(adequacy.correlation(columns))
    assert verdict.kernel_components == adequacy.kernel_components(columns)
    samples[:, 3] = samples[:, 0] - samples[:, 4]
    verdict = judge(samples)
    assert (verdict.principal_components, verdict.kernel_components) == (4, None)


def test_meanings_are_of_fields():
    assert set(MEANINGS) <= set(Verdict.__dataclass_fields__)


@pytest.mark.parametrize("samples", [np.ones(5), np.ones((9, 4)), np.ones((2, 5, 1))])
def test_refuses_samples_of_another_shape(samples):
    with pytest.raises(ValueError, match=r"samples must be \[n, 5\]"):
        assess(samples, np.zeros(len(samples)), MEASURES, None, None, "robust", 0, True)


def test_refuses_groups_of_another_length():
    with pytest.raises(ValueError, match="groups must name the organism of each of 128 rows"):
        judge(normals(), groups=np.zeros(3))


def test_refuses_an_unknown_gate_and_says_which_is_near():
    with pytest.raises(
        ValueError, match=r"one of robust, blueprint, off; it is 'robsut'; did you mean 'robust'\?"
    ):
        judge(normals(), gate="robsut")


def test_refuses_reliability_or_ranges_of_another_length():
    with pytest.raises(ValueError, match="reliability must have a value for each of 5 measures; got 4"):
        judge(normals(), reliability=[1.0] * 4)
    with pytest.raises(ValueError, match="ranges must have a value for each of 4 measures; got 5"):
        judge(normals()[:, :4], ranges=Ranges(low=(0.0,) * 5, high=(1.0,) * 5))
