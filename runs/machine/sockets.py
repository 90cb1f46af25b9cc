"""The sockets of servers: where they listen, and who can reach them there."""

import errno
import ipaddress
import socket

from runs.errors import ConfigError

FIRST, TRIES = 8080, 1000  # ports of auto


def listening(host: str, port: int | None, first: int = FIRST) -> socket.socket:
    """Return a socket that listens.

    Parameters
    ----------
    host
        Name or address of this machine.
    port
        0: any free one; None: the first free one from `first` on.
    first
        A port.

    Raises
    ------
    ConfigError
        If the port is taken or may not be used, or the host is none of this machine.
    """
    family, address = _address(host)
    wanted = range(first, first + TRIES) if port is None else (port,)
    for each in wanted:
        try:
            return _listening(family, address, each)
        except PermissionError:
            raise ConfigError(f"port {each} may not be used by this user; choose one from 1024 on") from None
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise ConfigError(f"--host {host} is no address of this machine: {error.strerror}") from None
    if port is None:
        raise ConfigError(
            f"ports {first} to {first + TRIES - 1} of {host} are all taken; name another by --port"
        )
    raise ConfigError(f"port {port} of {host} is taken{_free(family, address, port)}")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine to itself alone.

    Raises
    ------
    ConfigError
        If it is no name or address.
    """
    return ipaddress.ip_address(_address(host)[1]).is_loopback


def url(bound: socket.socket) -> str:
    """Return where a socket listens, as a URL."""
    host, port = bound.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _address(host: str) -> tuple[socket.AddressFamily, str]:
    try:
        family, *_, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise ConfigError(f"--host {host} is no name or address; 127.0.0.1 is this machine alone") from None
    return family, str(address[0])


def _listening(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((address, port))
        bound.listen(1024)
    except BaseException:
        bound.close()
        raise
    return bound


def _free(family: socket.AddressFamily, address: str, port: int) -> str:
    for each in range(port + 1, min(port + 50, 65536)):
        try:
            _listening(family, address, each).close()
        except OSError:
            continue
        return f"; {each} is free: give --port {each}, or --port auto"
    return "; give --port auto"
