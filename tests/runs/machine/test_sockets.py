import errno

import pytest

from runs.errors import ConfigError
from runs.machine import sockets
from runs.machine.sockets import is_loopback, listening, url


def test_auto_takes_the_next_free_port_and_a_taken_one_names_it():
    with listening("127.0.0.1", None) as first, listening("127.0.0.1", None) as second:
        ports = [bound.getsockname()[1] for bound in (first, second)]
        assert 8080 <= ports[0] < ports[1]
        assert url(first) == f"http://127.0.0.1:{ports[0]}"
        with pytest.raises(
            ConfigError,
            match=rf"port {ports[0]} of 127\.0\.0\.1 is taken; \d+ is free: give --port \d+, or --port auto",
        ):
            listening("127.0.0.1", ports[0])


def test_ports_that_may_not_be_used_and_no_free_one_at_all_are_told(monkeypatch):
    def refusing(error):
        def listen(family, address, port):
            raise error

        monkeypatch.setattr(sockets, "_listening", listen)

    refusing(PermissionError())
    with pytest.raises(ConfigError, match="port 80 may not be used by this user; choose one from 1024 on"):
        listening("127.0.0.1", 80)
    refusing(OSError(errno.EADDRINUSE, "taken"))
    with pytest.raises(ConfigError, match=r"ports 8080 to 9079 of 127\.0\.0\.1 are all taken"):
        listening("127.0.0.1", None)
    with pytest.raises(ConfigError, match=r"port 80 of 127\.0\.0\.1 is taken; give --port auto"):
        listening("127.0.0.1", 80)


def test_hosts_that_are_not_here_are_refused():
    with pytest.raises(ConfigError, match=r"--host 192\.0\.2\.1 is no address of this machine"):
        listening("192.0.2.1", 0)
    with pytest.raises(ConfigError, match=r"is no name or address; 127\.0\.0\.1 is this machine alone"):
        is_loopback("a host with spaces")


@pytest.mark.parametrize(
    ("host", "alone"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False)],
)
def test_only_loopback_is_this_machine_alone(host, alone):
    assert is_loopback(host) is alone
