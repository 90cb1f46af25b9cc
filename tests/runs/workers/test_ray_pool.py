"""Real Ray clusters on this machine; starting one takes seconds, so that tests share two."""

import os
import socket
import sys
from contextlib import contextmanager

import pytest

from archive_store.reading import open_run
from archive_store.run_directory import RunDirectory
from runs.errors import RunError
from runs.launch import launch
from runs.prepared import prepare
from runs.resume import resume
from runs.workers.placement import home
from runs.workers.start import pool_of
from tests.faults.killed_drivers import killed, launch_and_die
from tests.fixtures.small_runs import STREAM, contents, digests, launched, small

ray_pool = pytest.importorskip("runs.workers.ray_pool")
pytestmark = [
    pytest.mark.ray,
    # Ray's own: sockets and files that it leaves to the garbage collector, and a notice about GPUs.
    pytest.mark.filterwarnings(
        "ignore::ResourceWarning", "ignore:.*accelerator visible devices:FutureWarning"
    ),
]

RAY = ("execution.executor=ray",)

MODULE = '''
import numpy as np

from organisms.task import Split, Task


def signs(options, corpus):
    rng = np.random.default_rng(1)

    def split(examples):
        inputs = rng.normal(size=(examples, 6, 3)).astype(np.float32)
        return Split(inputs, (inputs.sum((1, 2)) > 0).astype(np.int64))

    splits = [split(examples) for examples in (96, 48, 32, 32)]
    return Task("signs", "class", *splits, "continuous", 3, 2, np.arange(6.0)[:, None])


def warmth(organism, inputs, targets):
    """Temperature of each component."""
    return [dict(occupant.genes)["temperature"] for _, occupant in organism.pool.alive()]
'''

KERNEL = '''
class Halves:
    """Products, each the sum of two."""

    def product(self, x, weight, bias=None):
        half = x.shape[-1] // 2
        found = x[..., :half] @ weight[:, :half].mT + x[..., half:] @ weight[:, half:].mT
        return found if bias is None else found + bias
'''


def users_own(module, kernel):
    named = f"[attention_span,{module}:warmth,gradient_flow,access_locality,compute_intensity]"
    chosen = f"organism.pseudopods.kernel={kernel}:Halves"
    return (f"task.name={module}:signs", f"measures={named}", chosen, "calibration.steps=40")


def written(folder, module, source):
    (folder / f"{module}.py").write_text(source)
    sys.path.insert(0, str(folder))
    return module


@pytest.fixture(scope="module")
def users(tmp_path_factory):
    """A folder on Python's path with modules of a user's, and their run inline."""
    folder = tmp_path_factory.mktemp("user")
    names = ("shipped_module_of_a_user", MODULE), ("shipped_kernel_of_a_user", KERNEL)
    overrides = users_own(*(written(folder, *each) for each in names))
    launched(folder / "inline", *overrides)
    yield folder, overrides
    for _ in names:
        sys.path.remove(str(folder))


class Limited:
    """A pool of which only some workers are used."""

    def __init__(self, pool, workers):
        self._pool, self._workers = pool, workers
        self.submit, self.wait, self.fetch = pool.submit, pool.wait, pool.fetch
        self.configure, self.replace = pool.configure, pool.replace

    @property
    def workers(self):
        return self._pool.workers[: self._workers]

    @property
    def idle(self):
        return [worker for worker in self._pool.idle if worker in self.workers]


@pytest.fixture(scope="class")
def local_pool(users):
    _, overrides = users
    config = small(*overrides, *RAY, "execution.workers=3")
    with pool_of(prepare(config)) as pool:
        yield pool


@pytest.fixture
def on(local_pool, monkeypatch):
    """Let runs use the pool that is there, or a part of it."""

    def choose(workers=3):
        @contextmanager
        def there(prepared):
            yield Limited(local_pool, workers)

        for command in ("launch", "resume"):
            monkeypatch.setattr(f"runs.{command}.pool_of", there)

    return choose


class TestLocal:
    @pytest.mark.parametrize(
        ("family", "workers"),
        [
            ("pseudopods", 1),
            ("pseudopods", 2),
            ("pseudopods", 3),
            ("experts", 3),
            ("towers", 2),
            ("flow", 2),
            ("transformer", 2),
        ],
        indirect=["family"],
    )
    def test_the_digest_is_that_of_an_inline_run(self, family, workers, on, finished, tmp_path):
        on(workers)
        run = launch(small(*RAY, f"organism.kind={family}"), tmp_path / "run")
        assert digests(run) == digests(finished)
        assert contents(run) == contents(finished)
        assert len(workers_of(run)) == workers

    def test_by_hash_an_order_is_done_by_the_worker_that_it_is_for(
        self, on, local_pool, undisturbed, tmp_path
    ):
        on()
        run = launch(small(*RAY, "execution.placement=hash"), tmp_path / "run")
        assert digests(run) == digests(undisturbed)
        timings = open_run(run).timings()
        first = timings[(timings["round"] == 1) & timings["organism"].notna()]
        did = dict(zip(first["organism"].astype(int), first["worker"], strict=True))
        assert did == {organism: home(f"organism {organism}", local_pool.workers, 0) for organism in did}

    @pytest.mark.long
    def test_streams_leave_no_state_on_the_workers_that_read_them(self, on, tmp_path):
        inline = launch(small(*STREAM), tmp_path / "inline")
        on(2)
        run = launch(small(*RAY, *STREAM), tmp_path / "run")
        assert digests(run) == digests(inline)
        assert len(workers_of(run)) == 2

    @pytest.mark.long
    def test_a_run_that_was_cut_off_inline_goes_on_with_ray(self, on, undisturbed, tmp_path):
        killed(launch_and_die, tmp_path / "run", 2)
        on()
        resume(tmp_path / "run", {"executor": "ray"})
        assert digests(tmp_path / "run") == digests(undisturbed)


def workers_of(run):
    with RunDirectory.open(run).journal() as journal:
        return {timing.worker for timing in journal.timings() if timing.organism is not None}


@pytest.fixture(scope="class")
def address():
    """Two nodes with one CPU each, whose Python knows neither our packages nor the user's modules."""
    from ray.cluster_utils import Cluster

    known = os.environ.pop("PYTHONPATH", None)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        yield cluster.address
    finally:
        cluster.shutdown()
        if known is not None:
            os.environ["PYTHONPATH"] = known


@pytest.fixture
def config(users, address):
    return small(*users[1], *RAY, "execution.workers=2", f"execution.address={address}")


class TestCluster:
    @pytest.mark.long
    def test_packages_and_the_users_modules_are_shipped(self, config, users, tmp_path):
        run = launch(config, tmp_path / "run")
        assert digests(run) == digests(users[0] / "inline")
        assert len(workers_of(run)) == 2

    @pytest.mark.long
    def test_workers_that_do_not_start_in_time(self, config, monkeypatch):
        monkeypatch.setattr(ray_pool, "PATIENCE_SECONDS", 0.01)
        with pytest.raises(RunError, match=r"did not start within 0\.01 s; are there enough free CPUs"):
            pool(config.execution.address)

    @pytest.mark.long
    def test_a_worker_that_computes_otherwise_is_refused_by_its_hosts_name(self, config):
        prepared = prepare(config)
        other = {**prepared.fingerprint, "probe": {**prepared.fingerprint["probe"], "svd": "0" * 64}}
        host = socket.gethostname()
        with pytest.raises(
            RunError, match=rf"host {host} computes otherwise .*: probe\.svd: 000000000000 against"
        ):
            pool(config.execution.address, expected=other, modules=prepared.modules)


def pool(address, expected=None, modules=()):
    made = ray_pool.RayPool(1, address, 0.0, expected or {}, modules, "cpu", lambda: 0.0)
    made.close()
    return made
