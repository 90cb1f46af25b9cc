"""The TCP sockets that a process and its descendants listen on, read from Linux's /proc."""

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

PROC = Path("/proc")
_TABLES = ("tcp", "tcp6")
_LISTEN = "0A"  # a state in these tables (TCP_LISTEN, include/net/tcp_states.h)


@dataclass(frozen=True, slots=True, order=True)
class Listener:
    """A socket that waits for connections."""

    process: str
    address: str
    port: int

    @property
    def is_reachable(self) -> bool:
        """Whether other machines can connect."""
        return not ip_address(self.address).is_loopback

    def __str__(self) -> str:
        place = "all interfaces" if ip_address(self.address).is_unspecified else self.address
        return f"{self.process} on {place}, port {self.port}"


def is_known() -> bool:
    """Return whether this system has the /proc files that tell it."""
    return (PROC / "net" / "tcp").exists()


def listeners(root: int) -> list[Listener]:
    """Return the sockets that a process and its descendants listen on, in the order of their names.

    Processes of other users are left out: their sockets are not visible.
    """
    places = dict(_places())
    found = (
        Listener(_name(process), *places[socket])
        for process in processes(root)
        for socket in _sockets(process)
        if socket in places
    )
    return sorted(set(found))


def _places() -> Iterator[tuple[str, tuple[str, int]]]:
    """Yield inode, address and port of every listening socket."""
    for table in _TABLES:
        path = PROC / "net" / table
        lines = path.read_text(encoding="ascii").splitlines()[1:] if path.exists() else []
        for fields in map(str.split, lines):
            if fields[3] == _LISTEN:
                address, _, port = fields[1].partition(":")
                yield fields[9], (decoded(address), int(port, 16))


def decoded(text: str) -> str:
    """Decode an address as the kernel prints it: 32-bit words in hexadecimal, in the byte order of this machine."""
    words = [bytes.fromhex(text[start : start + 8]) for start in range(0, len(text), 8)]
    packed = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    if len(packed) == 4:
        return str(IPv4Address(packed))
    address = IPv6Address(packed)
    return str(address.ipv4_mapped or address)


def processes(root: int) -> list[int]:
    """Return a process and its descendants."""
    children: dict[int, list[int]] = {}
    for process in (int(path.name) for path in PROC.iterdir() if path.name.isdigit()):
        children.setdefault(_parent(process), []).append(process)
    tree = [root]
    for process in tree:  # which grows meanwhile
        tree += children.get(process, [])
    return tree


def _parent(process: int) -> int:
    try:
        stat = (PROC / str(process) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0  # it has ended
    return int(stat.rpartition(")")[2].split()[1])


def _name(process: int) -> str:
    try:
        return (PROC / str(process) / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return str(process)


def _sockets(process: int) -> list[str]:
    """Return the inodes of a process's sockets."""
    found = []
    try:
        for entry in os.scandir(PROC / str(process) / "fd"):
            match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(entry.path))
            found += [match[1]] if match else []
    except OSError:
        pass  # it has ended, or is another user's
    return found
