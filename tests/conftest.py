"""Every test computes as a run does: the settings are made before any test module can load torch."""

from hypothesis import settings

from runs.machine.settings import prepare
from tests.fixtures.distribution import ByFile, grouped
from tests.fixtures.examples import fix_constants
from tests.fixtures.sample import sample
from tests.fixtures.shapes import check_signatures


def pytest_addoption(parser):
    parser.addoption(
        "--sample",
        action="store_true",
        help="one case of each test, fewer examples, worlds and crashes, and no test that is marked long",
    )
    parser.addoption(
        "--crash-points",
        choices=("some", "all"),
        default="some",
        help="after which operations of a run to let it crash, lose writes or meet a full disk",
    )
    parser.addoption(
        "--worlds",
        type=int,
        help="how many simulated worlds of full size to try, instead of the suite's small ones",
    )
    parser.addoption("--world", type=int, metavar="SEED", help="try one simulated world alone")


def pytest_configure(config):
    if config.getoption("--sample"):
        settings.load_profile("sample")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--sample"):
        kept = sample(items)
        left = set(items).difference(kept)
        config.hook.pytest_deselected(items=[item for item in items if item in left])
        items[:] = kept
    grouped(items)


def pytest_xdist_make_scheduler(config, log):
    return ByFile(config, log)


check_signatures(["qd", "kernels", "organisms", "archive_store", "analysis"])
# No test asserts a time. The suite tries the same examples each time, so that it is as repeatable as a run;
# `--hypothesis-profile=explore` tries new ones, and ten times as many.
settings.register_profile("plasmodia", deadline=None, derandomize=True)
settings.register_profile("sample", deadline=None, derandomize=True, max_examples=20)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile("plasmodia")
fix_constants()
prepare()
