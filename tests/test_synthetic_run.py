from archive_store.reading import open_run
from tests.fixtures.synthetic_run import write_run


def test_it_is_the_same_for_the_same_seed_only(tmp_path):
    digests = [
        open_run(write_run(tmp_path / name, seed=seed)).digest()
        for name, seed in [("a", 0), ("b", 0), ("c", 1)]
    ]
    assert digests[0] == digests[1] != digests[2]


def test_everything_happens_in_it(tmp_path):
    run = open_run(write_run(tmp_path / "run"))
    decisions = run.decisions()
    assert set(decisions["kind"]) == {"birth", "death"}
    assert set(decisions["happens"]) == {True, False}
    assert set(decisions["operator"].dropna()) == {"gaussian", "line"}
    assert set(run.outcomes()["status"]) == {"insert", "replace", "reject"}
    assert list(run.rounds()["phase"].unique()) == ["warm-up", "gentle", "full"]
    assert (run.records()["born"] > 0).any()
