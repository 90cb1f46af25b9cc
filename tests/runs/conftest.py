import pytest

from tests.killed_drivers import killed, launch_and_die
from tests.small_runs import launched


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """A small run, launched inline and finished; copy it before changing it."""
    return launched(tmp_path_factory.mktemp("undisturbed") / "run")


@pytest.fixture(scope="session")
def cut_off(tmp_path_factory):
    """A small run whose driver was killed right after round 3; states are kept of round 2."""
    run = tmp_path_factory.mktemp("cut-off") / "run"
    killed(launch_and_die, run, 3)
    return run
