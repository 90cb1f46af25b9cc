import pytest

from archive_store.columns import COLUMNS
from archive_store.errors import StoreError
from archive_store.reading import open_run


@pytest.fixture
def run(finished):
    return open_run(finished)


def test_every_column_of_every_frame_is_described_and_no_other(run):
    for name in COLUMNS:
        found, told = getattr(run, name)(), run.columns(name)
        patterns = {text for text in told if text.endswith("*")} | ({"<measure>"} & told.keys())
        plain = [text for text in told if text not in patterns]
        assert set(plain) <= set(found.columns), name
        for column in found.columns.difference(plain):
            of_measure = column in run.measures and "<measure>" in told
            assert of_measure or any(column.startswith(text[:-1]) for text in told if text.endswith("*")), (
                column
            )
    with pytest.raises(StoreError, match="a run has no frame 'round'; its frames are rounds, census"):
        run.columns("round")
