import pytest

from tests.small_runs import launched


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """A small run, launched inline and finished; copy it before changing it."""
    return launched(tmp_path_factory.mktemp("undisturbed") / "run")
