import pytest

from organisms.families import FAMILIES
from runs import trainer
from tests.faults import crashes
from tests.faults.crashes import forks, memory, start
from tests.faults.killed_drivers import killed, launch_and_die
from tests.fixtures import calibrated_once
from tests.fixtures.miniature import outcome
from tests.fixtures.small_runs import launched


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """A small run, launched inline and finished; copy it before changing it."""
    return launched(tmp_path_factory.mktemp("undisturbed") / "run")


@pytest.fixture(scope="session")
def known_calibrations():
    return {}


@pytest.fixture(autouse=True)
def calibrates_once(request, known_calibrations, monkeypatch):
    """Calibrate once what is launched inline in several tests, but for those that are marked ``calibrates_anew``."""
    if request.node.get_closest_marker("calibrates_anew") is None:
        monkeypatch.setattr(trainer, "JOBS", calibrated_once.jobs(known_calibrations))


@pytest.fixture(scope="session", params=FAMILIES)
def family(request):
    """The name of every family of components."""
    return request.param


@pytest.fixture(scope="session")
def finished(family, undisturbed, tmp_path_factory):
    """A small run of each family, launched inline and finished; copy it before changing it."""
    if family == "pseudopods":
        return undisturbed
    return launched(tmp_path_factory.mktemp(family) / "run", f"organism.kind={family}")


@pytest.fixture(scope="session")
def signals(tmp_path_factory):
    """A small run of experts on two kinds of signals; states are kept of rounds 2 and 4."""
    family, task = ("organism.kind=experts", "organism.count=2"), ("task.name=signals", "task.length=8")
    return launched(tmp_path_factory.mktemp("signals") / "run", *family, *task, "task.kinds=[sine, spiral]")


@pytest.fixture(scope="session")
def cut_off(tmp_path_factory):
    """A small run whose driver was killed right after round 3; states are kept of round 2."""
    run = tmp_path_factory.mktemp("cut-off") / "run"
    killed(launch_and_die, run, 3)
    return run


@pytest.fixture(scope="session")
def forking():
    """Call a function in a process of its own."""
    with forks() as fork:
        yield fork


@pytest.fixture
def folder():
    """Where a run in miniature can be made, again and again."""
    with memory() as place:
        yield place / "run"


@pytest.fixture(scope="session")
def unharmed():
    """What comes of a run in miniature that nothing befalls."""
    with memory() as place:
        start(place / "run")
        return outcome(place / "run")


@pytest.fixture(scope="session")
def half_way(forking):
    """A run in miniature whose process was stopped right after round 3; states are kept of round 2."""
    with memory() as place:
        yield crashes.cut_off(place / "run", 3, forking)


@pytest.fixture
def some(request, record_property):
    """Choose from many cases, by a stride, as many as there is time for: all with ``--crash-points all``."""
    option = request.config.getoption

    def choose(cases, at_most):
        at_most = len(cases) if option("--crash-points") == "all" else at_most
        stride = -(-len(cases) // max(at_most // 10 if option("--sample") else at_most, 1))
        chosen = cases[::stride]
        record_property("cases", f"{len(chosen)} of {len(cases)}")
        return chosen

    return choose
