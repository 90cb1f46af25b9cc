"""One real cluster of our own, looked at from inside and outside; addresses where there is none."""

import os
import select
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from runs.doctor import listeners
from runs.errors import RunError

ray_cluster = pytest.importorskip("runs.workers.ray_cluster")
pytestmark = [
    pytest.mark.ray,
    # Ray's own: sockets and files that it leaves to the garbage collector, and a notice about GPUs.
    pytest.mark.filterwarnings(
        "ignore::ResourceWarning", "ignore:.*accelerator visible devices:FutureWarning"
    ),
]

AUTHENTICATION = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")
CLIENT = """
import sys
from ray._raylet import GcsClient
from ray.exceptions import AuthenticationError
try:
    print(len(GcsClient(address=sys.argv[1]).get_all_node_info()), "node")
except AuthenticationError:
    print("refused")
"""


def connect(address):
    ray_cluster.connect(address, 1, ()).close()


def answer(address, **variables):
    """What a client in a process of its own is told by a cluster."""
    known = {name: value for name, value in os.environ.items() if name not in AUTHENTICATION}
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, address],
        env=known | variables,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip()


def told(process, name):
    """What /proc has of a process; nothing of one that has ended."""
    try:
        return Path(f"/proc/{process}/{name}").read_bytes()
    except OSError:
        return b""


def tokens(processes):
    """The tokens in the environments that processes were started with, where they did not write over them."""
    variables = [variable for process in processes for variable in told(process, "environ").split(b"\0")]
    return {
        value.decode()
        for name, _, value in (v.partition(b"=") for v in variables)
        if name == b"RAY_AUTH_TOKEN"
    }


def ends(processes):
    """Something to wait on for each process that has not ended."""
    for process in processes:
        with suppress(ProcessLookupError):
            yield os.pidfd_open(process)


def in_a_worker(folder):
    """Umask of a worker, and mode of a file that it makes."""
    import ray

    @ray.remote
    def look():
        mask = os.umask(0)
        os.umask(mask)
        (folder / "made").touch()
        return mask, stat.S_IMODE((folder / "made").stat().st_mode)

    return ray.get(look.remote())


@dataclass
class Seen:
    """What there was to see while a cluster ran, and after it was closed."""

    modes: dict[str, int]  # of directories and files by their path under the place of temporary files
    contents: list[bytes]  # of its files
    mask: int
    made: int
    own_mask: int
    own_environment: dict[str, str | None]
    token: str
    commands: list[bytes]
    listeners: list[listeners.Listener]
    answers: dict[str, str]
    left: list[Path]  # in the place of temporary files, after closing
    alive: list[int]  # processes of its own, after closing
    home: list[Path]


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """Start, look, close, look again."""
    home = tmp_path_factory.mktemp("home")
    place = Path(tempfile.mkdtemp(prefix="p", dir="/tmp"))  # short, as sockets need it
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(place))
        patch.setenv("HOME", str(home))
        patch.setenv("RAY_AUTH_MODE", "disabled")
        before = set(listeners.processes(os.getpid()))
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, place, ignore_errors=True)
            cluster = stack.enter_context(ray_cluster.connect("local", 1, ()))
            return look(cluster, place, home, before)


def look(cluster, place, home, before):
    import ray

    mask, made = in_a_worker(home)
    own = os.umask(0o022)
    os.umask(own)
    paths = [path for path in place.rglob("*") if not path.is_symlink()]
    started = sorted(set(listeners.processes(os.getpid())) - before)
    (token,) = tokens(started)
    address = ray.get_runtime_context().gcs_address
    found = {
        "modes": {str(path.relative_to(place)): path.stat().st_mode for path in paths},
        "contents": [path.read_bytes() for path in paths if path.is_file()],
        "own_environment": {name: os.environ.get(name) for name in AUTHENTICATION},
        "commands": [told(process, "cmdline") for process in started],
        "listeners": listeners.listeners(os.getpid()),
        "answers": {
            "right": answer(address, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token),
            "wrong": answer(address, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="0" * 64),
            "none": answer(address, RAY_AUTH_MODE="disabled"),
        },
    }
    waited_for = list(ends(started))
    cluster.close()
    alive = [end for end in waited_for if not select.select([end], [], [], 30)[0]]
    for end in waited_for:
        os.close(end)
    left = [path.name for path in home.iterdir() if path.name != "made"]
    return Seen(
        mask=mask,
        made=made,
        own_mask=own,
        token=token,
        left=list(place.iterdir()),
        alive=alive,
        home=left,
        **found,
    )


@pytest.mark.skipif(not listeners.is_known(), reason="has no /proc/net/tcp")
@pytest.mark.long
class TestOwn:
    def test_only_its_user_can_enter_its_directory(self, seen):
        top = {path: mode for path, mode in seen.modes.items() if "/" not in path}
        (mode,) = top.values()
        assert stat.S_IMODE(mode) == 0o700
        assert any(path.endswith("sockets/raylet") for path in seen.modes)
        assert any(path.endswith("logs/raylet.out") for path in seen.modes)

    def test_files_are_private_in_every_process_but_this_one(self, seen):
        assert (seen.mask, seen.made) == (0o077, 0o600)
        assert {stat.S_IMODE(mode) for mode in seen.modes.values() if stat.S_ISREG(mode)} == {0o600}
        assert seen.own_mask != 0o077

    def test_it_listens_on_the_loopback_interface_alone(self, seen):
        assert len(seen.listeners) >= 4
        assert [str(listener) for listener in seen.listeners if listener.is_reachable] == []

    def test_who_does_not_know_the_token_is_refused(self, seen):
        assert seen.answers == {"right": "1 node", "wrong": "refused", "none": "refused"}

    def test_the_token_is_in_no_file_no_command_line_and_not_in_this_process(self, seen):
        assert len(seen.token) == 64
        assert not any(seen.token.encode() in text for text in [*seen.contents, *seen.commands])
        assert seen.own_environment == {"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": None}
        assert seen.home == []

    def test_nothing_is_left(self, seen):
        assert (seen.left, seen.alive) == ([], [])


class TestTemporaryFiles:
    def test_a_place_too_deep_for_sockets_is_not_used(self, tmp_path, monkeypatch):
        deep = tmp_path / ("x" * 60)
        deep.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(deep))
        with ray_cluster._private_directory() as made:
            assert made.parent == Path("/tmp")
            assert stat.S_IMODE(made.stat().st_mode) == 0o700
        assert not made.exists()

    def test_nothing_is_left_of_a_start_that_fails(self, monkeypatch):
        place = Path(tempfile.mkdtemp(prefix="p", dir="/tmp"))
        own = {name: os.environ.get(name) for name in AUTHENTICATION}

        def fail(**settings):
            assert Path(settings["_temp_dir"]).parent.parent == place
            raise OSError("no room for sockets")

        monkeypatch.setattr(tempfile, "tempdir", str(place))
        monkeypatch.setattr(ray_cluster.ray, "init", fail)
        mask = os.umask(0o022)
        try:
            with pytest.raises(RunError, match=r"at address 'local' \(no room for sockets\); look for free"):
                connect("local")
            assert os.umask(0o022) == 0o022
        finally:
            os.umask(mask)
        assert own == {name: os.environ.get(name) for name in AUTHENTICATION}
        assert ray_cluster.ray_constants.ENABLE_RAY_CLUSTER
        place.rmdir()


class TestAddress:
    def test_where_nobody_listens(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
            with pytest.raises(
                RunError, match=rf"no Ray cluster answers at address '{address}' \(.*refused\); start one"
            ):
                connect(address)

    def test_where_somebody_listens_and_says_nothing(self, monkeypatch):
        monkeypatch.setattr(ray_cluster, "ANSWER_SECONDS", 0.1)
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = f"127.0.0.1:{server.getsockname()[1]}"
            with pytest.raises(
                RunError, match=rf"no Ray cluster answers at address '{address}' \(timed out\); start"
            ):
                connect(address)
            monkeypatch.setenv("RAY_ADDRESS", address)
            with pytest.raises(RunError, match="timed out"):
                connect("auto")

    def test_where_something_else_answers(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            thread = threading.Thread(target=lambda: server.accept()[0].sendall(b"SSH-2.0-OpenSSH\r\n"))
            thread.start()
            with pytest.raises(RunError, match=r"what answers at address .* is no Ray cluster; start one"):
                connect(f"127.0.0.1:{server.getsockname()[1]}")
            thread.join()

    def test_auto_without_a_cluster(self, monkeypatch, tmp_path):
        def nowhere(**arguments):
            raise ConnectionError("Could not find any running Ray instance.\nPlease specify")

        monkeypatch.delenv("RAY_ADDRESS", raising=False)
        monkeypatch.setattr(ray_cluster.ray, "init", nowhere)
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        told = r"no Ray cluster at address 'auto' \(Could not find any running Ray instance\.\); start one"
        with pytest.raises(RunError, match=told):
            connect("auto")
        assert list(tmp_path.iterdir()) == []

    def test_where_a_token_is_wanted(self, monkeypatch):
        def refuse(**settings):
            raise ray_cluster.ray.exceptions.AuthenticationError("Authentication token is missing")

        monkeypatch.delenv("RAY_ADDRESS", raising=False)
        monkeypatch.setattr(ray_cluster.ray, "init", refuse)
        with pytest.raises(
            RunError, match=r"no Ray cluster at address 'auto' \(Authentication token is missing"
        ):
            connect("auto")

    def test_a_process_that_is_connected_already(self, monkeypatch):
        monkeypatch.setattr(ray_cluster.ray, "is_initialized", lambda: True)
        with pytest.raises(
            RunError, match=r"connected to a Ray cluster already; call ray\.shutdown\(\) first"
        ):
            connect("local")


def test_what_is_shipped_is_source_alone(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "module_of_a_user.py").write_text("x = 1")
    monkeypatch.syspath_prepend(tmp_path / "mine")
    folder = tmp_path / "shipped"
    folder.mkdir()
    ray_cluster._pack(["module_of_a_user"], folder)
    names = {path.name for path in folder.iterdir()}
    assert names == {"qd", "kernels", "organisms", "archive_store", "runs", "analysis", "module_of_a_user.py"}
    assert not list(folder.rglob("__pycache__"))
    assert (folder / "runs" / "presets" / "smoke.yaml").is_file()
    assert (
        Path(ray_cluster.__file__).read_bytes()
        == (folder / "runs" / "workers" / "ray_cluster.py").read_bytes()
    )
