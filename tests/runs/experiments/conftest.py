import pytest

from tests.fixtures.experiments import carried_out, planned_small


@pytest.fixture(scope="session")
def done(tmp_path_factory):
    """A finished experiment of two arms and two seeds, made in this process; copy it before changing it."""
    return carried_out(tmp_path_factory.mktemp("experiments") / "done", planned_small())
