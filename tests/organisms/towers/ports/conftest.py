import socket

import pytest


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Whoever asks for a name or a connection fails the test."""

    def refuse(*arguments, **options):
        raise AssertionError("the network was tried")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
