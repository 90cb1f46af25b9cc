import threading
from contextlib import closing

import pytest
from starlette.testclient import TestClient

from runs.machine.sockets import listening, url
from runs.serving.http.app import application
from runs.serving.http.guard import LOOPBACK
from runs.serving.http.server import new_server
from tests.runs.serving.small import small_served


@pytest.fixture
def serving():
    """Serve a model to clients in this process, without a network; all threads end with the test."""
    started = []

    def serve(signature, kind="experts", *, token=None, hosts=None, origins=(), report=None, **limits):
        served = small_served(signature, kind, report, **limits)
        app = application(
            served, token=token, hosts=hosts, origins=origins, report=report or served.service._report
        )
        served.service.start()
        started.append(served.service)
        client = TestClient(app, raise_server_exceptions=False)
        client.served = served
        return client

    yield serve
    for service in started:
        service.stop()


@pytest.fixture
def listening_server():
    """Serve a model on a free port of this machine, as the command does but for signals."""
    started = []

    def serve(signature, kind="experts", **limits):
        served = small_served(signature, kind, **limits)
        app = application(served, token=None, hosts=LOOPBACK, origins=(), report=served.service._report)
        bound = listening("127.0.0.1", 0)
        server = new_server(app, served.limits.body_timeout)
        served.service.start()
        thread = threading.Thread(target=lambda: server.run(sockets=[bound]))
        thread.start()
        while not server.started:
            threading.Event().wait(0.001)
        started.append((server, served.service, thread, bound))
        return url(bound), served

    yield serve
    for server, service, thread, bound in started:
        server.should_exit = True
        thread.join()
        service.stop()
        with closing(bound):
            pass
