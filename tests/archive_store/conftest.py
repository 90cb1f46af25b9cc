from collections.abc import Iterator
from pathlib import Path

import pytest

from archive_store.reading import Run, open_run
from tests.fixtures.synthetic_run import write_run


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory) -> Path:
    """A finished made-up run; nothing may write to it."""
    return write_run(tmp_path_factory.mktemp("synthetic") / "run")


@pytest.fixture
def run(synthetic) -> Iterator[Run]:
    """The same run, opened; afterwards it must be as it was."""
    before = {path: path.stat().st_mtime_ns for path in synthetic.rglob("*")}
    yield open_run(synthetic)
    assert {path: path.stat().st_mtime_ns for path in synthetic.rglob("*")} == before
