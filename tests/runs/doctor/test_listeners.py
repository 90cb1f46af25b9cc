import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from runs.doctor import listeners
from runs.doctor.listeners import Listener

pytestmark = pytest.mark.skipif(not listeners.is_known(), reason="has no /proc/net/tcp")


@pytest.mark.parametrize(
    ("place", "is_reachable"), [("127.0.0.1", False), ("0.0.0.0", True), ("127.0.0.2", False)]
)
def test_a_socket_of_this_process(place, is_reachable):
    with socket.create_server((place, 0)) as server:
        port = server.getsockname()[1]
        (found,) = [listener for listener in listeners.listeners(os.getpid()) if listener.port == port]
    assert (found.address, found.is_reachable) == (place, is_reachable)
    assert found.process == Path("/proc/self/comm").read_text().strip()
    assert [listener for listener in listeners.listeners(os.getpid()) if listener.port == port] == []


@pytest.mark.parametrize("place", ["::1", "::", "::ffff:127.0.0.1"])
def test_a_socket_of_ipv6(place):
    with socket.socket(socket.AF_INET6) as server:
        try:
            server.bind((place, 0))
        except OSError:
            pytest.skip(f"this machine has no {place}")
        server.listen()
        port = server.getsockname()[1]
        (found,) = [listener for listener in listeners.listeners(os.getpid()) if listener.port == port]
    assert found.address == place.removeprefix("::ffff:")
    assert found.is_reachable == (place == "::")


def test_a_socket_of_a_process_that_was_started():
    code = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as child:
        port = int(child.stdout.readline())
        places = [(listener.address, listener.port) for listener in listeners.listeners(os.getpid())]
        of_another = listeners.listeners(child.pid)
        child.communicate("\n")
    assert ("127.0.0.1", port) in places
    assert [listener.port for listener in of_another] == [port]


def test_a_process_that_has_ended_has_none():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert listeners.listeners(child.pid) == []


@pytest.mark.skipif(sys.byteorder != "little", reason="these are from a little-endian machine")
@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0100007F", "127.0.0.1"),
        ("00000000", "0.0.0.0"),
        ("0000000000000000FFFF00000100007F", "127.0.0.1"),
        ("B80D01200000000000000000010000FF", "2001:db8::ff00:1"),
    ],
)
def test_addresses_are_read_as_the_kernel_writes_them(text, address):
    assert listeners.decoded(text) == address


def test_a_listener_says_where_it_is():
    assert str(Listener("raylet", "::", 80)) == "raylet on all interfaces, port 80"
    assert str(Listener("raylet", "192.0.2.2", 80)) == "raylet on 192.0.2.2, port 80"
