import numpy as np
import pytest

from archive_store.reading import open_run
from qd.seeding import generator
from runs.experiments import projections
from runs.experiments.projections import projected
from tests.fixtures.small_runs import launched

MEASURES = ",".join(f"runs.experiments.projections:projection_{number}" for number in range(1, 6))


def arrays(scale=1.0, size=40):
    rng = generator(0, 0, "arrays")
    return {"a.U": scale * rng.normal(size=(size, 2)), "a.V": rng.normal(size=(2, size)), "bias": np.ones(3)}


def test_a_projection_is_a_product_with_one_direction_over_the_size():
    given = arrays()
    matrix = given["a.U"] @ given["a.V"]
    direction = projections._direction(3, "a", (40, 40))
    assert projected(given, 3) == pytest.approx(
        (direction * matrix).sum() / np.linalg.norm(matrix), rel=1e-12
    )


def test_neither_its_scale_nor_how_it_is_factored_counts():
    turned = arrays()
    turned["a.U"], turned["a.V"] = turned["a.U"] * [2.0, 0.5], turned["a.V"] / np.array([[2.0], [0.5]])
    for other in (arrays(7.0), turned):
        assert projected(other, 1) == pytest.approx(projected(arrays(), 1), rel=1e-9)
    assert projected(arrays(0.0), 1) == 0.0


def test_matrices_that_are_not_factored_count_too():
    factors = arrays()
    whole = {"a": factors["a.U"] @ factors["a.V"], "bias": factors["bias"], "none": np.ones((0, 3, 3))}
    assert projected(whole, 2) == pytest.approx(projected(factors, 2), rel=1e-9)


def test_directions_are_standard_normal_and_all_different():
    values = [projected(arrays(), number) for number in range(1, 200)]
    assert len(set(values)) == len(values)
    assert np.mean(values) == pytest.approx(0.0, abs=0.25)
    assert np.std(values) == pytest.approx(1.0, abs=0.2)


@pytest.mark.long
def test_a_run_can_have_them_for_measures(tmp_path):
    run = launched(tmp_path / "run", "rounds=1", f"measures=[{MEASURES}]", "validity.gate=off")
    assert open_run(run).measures == tuple(f"projection_{number}" for number in range(1, 6))
    assert open_run(run).records()["projection_3"].std() > 0.0
