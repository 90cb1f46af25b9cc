from pathlib import Path

import pytest

from tests.fixtures.growing import Growing
from tests.fixtures.synthetic_run import write_run


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 8 rounds; copy it before changing it."""
    return write_run(
        tmp_path_factory.mktemp("whole") / "run", organisms=2, rounds=8, cells=32, kinds=["a", "b"]
    )


@pytest.fixture
def growing(whole, tmp_path):
    """A run in the folder ``out`` whose driver has committed two rounds."""
    (tmp_path / "out").mkdir()
    driver = Growing(whole, tmp_path / "out" / "run", rounds=2)
    yield driver
    driver.stop()
