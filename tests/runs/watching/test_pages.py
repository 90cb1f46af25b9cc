"""Pages of runs that go on: what they hold, when they are made, and that no driver waits for it."""

import shutil

import pytest

from analysis.report.run import page_of_run
from archive_store.reading import open_run
from runs.results.rows import joined_rows
from runs.results.slo.shown import block
from runs.results.summary import summarise
from runs.watching.copies import Copy
from runs.watching.folder import Watched
from runs.watching.pages import SHARE, Pages, curves_of
from tests.fixtures.pages import parsed
from tests.fixtures.small_runs import files

LONG = 60 / SHARE  # seconds: no page takes a minute


class Clock:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watched(growing):
    return Watched(growing.place.parent)


@pytest.fixture
def pages():
    made = Pages(is_one=False, clock=Clock())
    yield made
    made.close()


def newest(watched):
    watched.look()
    ((key, seen),) = watched.runs().items()
    return seen, watched.path(key)


def test_the_page_is_that_of_a_report_with_what_follows_the_run(growing, watched, pages):
    live = parsed(pages.page(*newest(watched)))
    path = growing.place
    plain = parsed(page_of_run(open_run(path), joined_rows(summarise(path)), 2, block(open_run(path))))
    assert live.data == plain.data
    for tag in ("section", "table", "td", "th", "figure", "h1", "h2", "h3", "caption", "pre"):
        assert live.all(tag) == plain.all(tag)
    policy = live.policy
    assert policy.pop("connect-src") == "'self'"
    assert policy.keys() == plain.policy.keys()


def test_a_copy_holds_nothing_back_when_the_run_ends_and_writes_nothing(growing, tmp_path):
    copy = Copy(growing.place, tmp_path / "copy" / "run")
    before = files(growing.place)
    assert copy.refresh() == tmp_path / "copy" / "run"
    assert files(growing.place) == before
    growing.commit(6)
    with open_run(copy.refresh()).directory.journal() as reading, reading.snapshot():
        assert reading.last_round() == 8
        growing.journal.finish(patience=0)  # is refused while anybody reads the journal itself


def test_of_a_finished_run_the_run_itself_is_read(whole, tmp_path):
    assert Copy(whole, tmp_path / "copy").refresh() == whole
    assert not (tmp_path / "copy").exists()


def test_pages_of_a_run_that_goes_on_wait_for_many_times_as_long_as_one_takes(growing, watched, pages):
    first = pages.page(*newest(watched))
    assert 0 < pages.rest() < LONG
    growing.commit()
    seen, path = newest(watched)
    assert pages.newest(seen) != seen.version
    assert pages.page(seen, path) == first
    pages._clock.now += LONG
    assert pages.rest() == 0
    assert pages.newest(seen) == seen.version
    assert "after round 3" in str(parsed(pages.page(seen, path)).all("p")[0])


def test_one_that_has_ended_is_shown_at_once(growing, watched, pages):
    pages.page(*newest(watched))
    growing.commit(6)
    growing.finish()
    seen, path = newest(watched)
    assert pages.newest(seen) == seen.version
    assert "after round 8, finished" in str(parsed(pages.page(seen, path)).all("p")[0])


def test_a_page_that_nothing_was_added_to_is_made_once(growing, watched, pages, monkeypatch):
    first = pages.page(*newest(watched))
    monkeypatch.setattr("runs.watching.pages.summarise", lambda path: pytest.fail("it was made again"))
    pages._clock.now += 1e9
    assert pages.page(*newest(watched)) == first


def test_a_run_without_rounds_has_a_page_that_says_so(growing, whole, pages, tmp_path):
    from tests.fixtures.growing import Growing

    (tmp_path / "new").mkdir()
    fresh = Growing(whole, tmp_path / "new" / "fresh")
    texts = [text for _, text in parsed(pages.page(*newest(Watched(tmp_path / "new")))).all("p")]
    fresh.stop()
    assert "No round is finished yet; the page comes with the first." in texts


def test_of_a_run_that_is_damaged_the_last_page_stays(growing, watched, pages):
    first = pages.page(*newest(watched))
    growing.stop()
    (growing.place / "journal.sqlite").write_bytes(b"nonsense")
    newest(watched)
    seen, path = newest(watched)
    assert seen.state == "damaged"
    assert pages.page(seen, path) == first


def test_copies_are_removed_in_the_end(growing, watched):
    made = Pages(is_one=True)
    made.page(*newest(watched))
    place = made._folder.name
    made.close()
    assert not shutil.os.path.exists(place)


def test_curves_are_compared_in_the_order_that_was_asked_for(growing, watched, whole):
    seen, _ = newest(watched)
    other = Watched(whole).runs().popitem()[1]
    score, coverage, qd = curves_of([other, seen])
    assert [len(each["x"]) for each in coverage["series"]] == [8, 2]
    assert qd["series"][1]["y"] == pytest.approx(open_run(whole).rounds()["qd_score"][:2], rel=1e-5)
    assert (score["title"], coverage["title"], qd["title"]) == (
        "Validation score, best organism",
        "Coverage",
        "QD score",
    )
