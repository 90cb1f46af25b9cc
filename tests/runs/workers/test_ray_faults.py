"""Real faults of a real Ray cluster on this machine: whatever dies, hangs or is lost, the digest is the same."""

import os
import random
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import ray

from archive_store.run_directory import RunDirectory
from runs.config.schema import plain
from runs.errors import RunError
from runs.launch import launch
from runs.prepared import prepare
from runs.resume import resume
from runs.training.world import WorldSpec
from runs.workers.jobs import Done, Job
from runs.workers.pool import InlinePool
from runs.workers.start import pool_of
from tests.faults.killed_drivers import killed_at_random
from tests.fixtures.small_runs import digests, small

pytestmark = [
    pytest.mark.ray,
    # Ray's own: sockets and files that it leaves to the garbage collector, and a notice about GPUs.
    pytest.mark.filterwarnings(
        "ignore::ResourceWarning", "ignore:.*accelerator visible devices:FutureWarning"
    ),
]

RAY = ("execution.executor=ray",)
TIMEOUT = 5.0  # seconds for an order: a frozen worker is found after that
# A node's death is found in a third of a second, instead of fifteen.
FAST = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 100,
    "health_check_timeout_ms": 500,
    "health_check_failure_threshold": 3,
}
GREEDY = '''
from pathlib import Path


def greed(organism, inputs, targets):
    """Temperature of each component. Wants more memory than there is, once for each file that asks for it."""
    wanted = Path(__file__).with_name("wanted")
    if wanted.exists():
        wanted.unlink()
        raise MemoryError("no room for greed")
    eaten = Path(__file__).with_name("eaten")
    if eaten.exists():
        eaten.unlink()
        chunks = [bytearray(b"x") * (64 << 20) for _ in range(96)]
    return [dict(occupant.genes)["temperature"] for _, occupant in organism.pool.alive()]
'''
GREED = (
    "measures=[attention_span,greedy_module_of_a_user:greed,gradient_flow,access_locality,compute_intensity]"
)


class Ill:
    """A pool to whose workers something happens, once, at a moment of a round's order."""

    def __init__(self, pool, moment, number, round=2):
        self._pool, self._moment, self._number, self._round = pool, moment, number, round
        self.struck = None
        self.wait_, self.submit_ = pool.wait, pool.submit
        self.fetch, self.configure, self.replace = pool.fetch, pool.configure, pool.replace

    @property
    def workers(self):
        return self._pool.workers

    @property
    def idle(self):
        return self._pool.idle

    def submit(self, job, attempt, worker):
        if self._moment == "while it is idle":
            self._strike(job, worker)
        self.submit_(job, attempt, worker)
        if self._moment == "in the middle of an order":
            self._strike(job, worker)

    def wait(self, seconds):
        events = self.wait_(seconds)
        for event in events:
            if isinstance(event, Done) and self._moment == "just after its result":
                self._strike(event.job, event.worker)
        return events

    def _strike(self, job, worker):
        if self.struck is None and job.round == self._round:
            self.struck = worker
            os.kill(self._pids[worker], self._number)

    def find(self):
        actors = {name: self._pool._workers[name].actor for name in self._pool.workers}
        self._pids = {
            name: ray.get(actor.__ray_call__.remote(lambda self: os.getpid()))
            for name, actor in actors.items()
        }
        return self


@pytest.fixture(scope="module")
def greedy(tmp_path_factory):
    """A folder on Python's path with a module of a user's."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "greedy_module_of_a_user.py").write_text(GREEDY)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


@pytest.fixture(scope="class")
def local_pool(greedy):
    with pool_of(prepare(small(GREED, *RAY, "execution.workers=2"))) as pool:
        yield pool


@pytest.fixture
def on(monkeypatch):
    """Let runs use a pool that is there."""

    def use(pool):
        @contextmanager
        def there(prepared):
            yield pool

        for command in ("launch", "resume"):
            monkeypatch.setattr(f"runs.{command}.pool_of", there)
        return pool

    return use


def incidents(run):
    with RunDirectory.open(run).journal() as journal:
        return [incident for incident in journal.incidents() if incident.kind not in ("memory", "resume")]


class TestWorkers:
    @pytest.mark.parametrize(
        ("moment", "number", "reason"),
        [
            ("while it is idle", signal.SIGKILL, "its worker died"),
            ("in the middle of an order", signal.SIGKILL, "its worker died"),
            ("just after its result", signal.SIGKILL, None),
            ("in the middle of an order", signal.SIGSTOP, "it gave no answer for 5 s"),
        ],
    )
    def test_one_that_dies_or_freezes_is_replaced(
        self, moment, number, reason, on, local_pool, undisturbed, tmp_path
    ):
        pool = on(Ill(local_pool, moment, number).find())
        run = launch(small(*RAY, f"execution.order_timeout={TIMEOUT}"), tmp_path / "run")
        assert pool.struck is not None
        assert digests(run) == digests(undisturbed)
        told = incidents(run)
        assert all(incident.kind == "lost" for incident in told)
        assert reason is None or reason in told[0].body
        while pool.struck in local_pool.workers or len(local_pool.workers) < 2:
            local_pool.wait(1.0)  # whoever comes after this test finds two that live

    @pytest.mark.long
    def test_one_that_is_still_starting_is_told_of_the_world_that_the_others_are_given(self, local_pool):
        """As when a worker dies in calibration, just before all are told of the interface."""
        before, after = (WorldSpec(plain(small(f"calibration.steps={steps}"))) for steps in (3, 5))
        job = Job("interface", 0, -1, ())
        local_pool.configure(before)
        local_pool.replace(local_pool.workers[0])
        local_pool.configure(after)
        while len(local_pool.workers) < 2:
            local_pool.wait(1.0)
        local_pool.submit(job, 1, local_pool.workers[-1])
        while not (events := local_pool.wait(1.0)):
            pass
        here = InlinePool(lambda: 0.0)
        here.configure(after)
        here.submit(job, 1, "inline")
        assert events[0].report == here.wait(0.0)[0].report

    @pytest.mark.long
    def test_one_that_runs_out_of_memory_gives_the_order_back(self, on, local_pool, greedy, tmp_path):
        on(local_pool)
        whole = launch(small(GREED), tmp_path / "whole")

        def want(progress):
            if (progress.stage, progress.round) == ("rounds", 1):
                (greedy / "wanted").touch()

        run = launch(small(GREED, *RAY), tmp_path / "run", want)
        assert not (greedy / "wanted").exists()
        assert digests(run) == digests(whole)
        (incident,) = incidents(run)
        assert incident.kind == "lost"
        assert "too little memory or disk: MemoryError: no room for greed (greedy_module" in incident.body

    def test_a_job_that_raises_on_two_workers_stops_the_run(self, on, local_pool, tmp_path):
        on(local_pool)
        bad = small(*RAY, "training.learning_rate=1e30", "training.clip=1e30")
        with pytest.raises(RunError, match="interface of calibration failed twice: the training loss"):
            launch(bad, tmp_path / "run")
        assert list(tmp_path.iterdir()) == []


@pytest.fixture
def watched_pool(greedy, monkeypatch):
    """Workers whose node ends them when it has 3.5 GiB less than now."""
    memory = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    total, available = (int(memory[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    monkeypatch.setenv("RAY_memory_usage_threshold", str((total - available) / total + 3.5 * 2**20 / total))
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "100")
    with pool_of(prepare(small(GREED, *RAY, "execution.workers=2"))) as pool:
        yield pool


@pytest.mark.long
def test_workers_that_are_killed_for_memory_are_replaced(on, watched_pool, greedy, tmp_path):
    on(watched_pool)
    whole = launch(small(GREED), tmp_path / "whole")

    def eat(progress):
        if (progress.stage, progress.round) == ("rounds", 1):
            (greedy / "eaten").touch()

    run = launch(small(GREED, *RAY), tmp_path / "run", eat)
    assert not (greedy / "eaten").exists()
    assert digests(run) == digests(whole)
    assert any("OutOfMemoryError" in incident.body for incident in incidents(run))


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one CPU each, the first of which has the driver."""
    from ray.cluster_utils import Cluster

    made = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "include_dashboard": False, "_system_config": FAST},
    )
    try:
        made.add_node(num_cpus=1)
        yield made
    finally:
        made.shutdown()


# States of 1.2 MB: Ray keeps smaller ones with the driver, where no node's death reaches them.
LARGE = ("organism.dim=64", "organism.pseudopods.max_rank=16", "organism.pseudopods.max_width=16", "rounds=6")


class TestMachines:
    @pytest.mark.long
    def test_a_driver_that_is_killed_again_and_again(self, cluster, undisturbed, tmp_path):
        at = (f"execution.address={cluster.address}", "execution.workers=2", *RAY)
        draw = random.Random(7)
        for _ in range(5):
            killed_at_random(tmp_path / "run", draw, *at)
        resume(tmp_path / "run", {"executor": "inline"})
        assert digests(tmp_path / "run") == digests(undisturbed)

    @pytest.mark.long
    def test_a_node_that_dies_takes_states_with_it(self, cluster, tmp_path):
        whole = launch(small(*LARGE), tmp_path / "whole")
        node = cluster.add_node(num_cpus=1)

        def strike(progress):
            if (progress.stage, progress.round) == ("rounds", 3):
                cluster.remove_node(node, allow_graceful=False)

        at = (f"execution.address={cluster.address}", "execution.workers=3", *RAY)
        run = launch(small(*LARGE, *at), tmp_path / "run", strike)
        assert digests(run) == digests(whole)
        told = [incident.body for incident in incidents(run)]
        assert told, "the node had a worker"
        assert all("lost" in incident.kind for incident in incidents(run))
