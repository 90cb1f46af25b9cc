import threading

import pytest

from runs.serving.generation import Done, Failed, Piece, Refused
from runs.serving.service import BROKEN
from tests.runs.serving.small import generation, small_served, symbols


class Listener:
    """Keeps events, and lets a test wait for the last."""

    def __init__(self):
        self.events, self.ended, self.begun = [], threading.Event(), threading.Event()

    def __call__(self, event):
        self.events.append(event)
        self.begun.set()
        if not isinstance(event, Piece):
            self.ended.set()

    def last(self):
        assert self.ended.wait(60)
        return self.events[-1]


@pytest.fixture
def running():
    started = []

    def start(**given):
        served = small_served(symbols(), **given)
        started.append(served.service)
        return served.service

    yield start
    for service in started:
        if service.alive:
            service.stop()


def test_requests_of_many_threads_are_all_answered(running):
    service, listeners = running(), [Listener() for _ in range(20)]
    service.start()
    threads = [
        threading.Thread(target=service.submit, args=(generation([number % 20], 4, seed=number), each))
        for number, each in enumerate(listeners)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(each.last().new_tokens) for each in listeners] == [4] * 20
    assert service.alive


def test_the_queue_has_an_end(running):
    service = running(max_batch_size=1, max_waiting=2)  # whose thread is not started: nobody has a turn
    for _ in range(3):
        service.submit(generation([1]), Listener())
    with pytest.raises(Refused, match="2 requests are waiting already; come back later") as refused:
        service.submit(generation([1]), Listener())
    assert (refused.value.status, refused.value.retry_after) == (429, 1)
    with pytest.raises(Refused, match="3 requests are waiting already"):
        service.call(lambda: None)
    assert not service.idle


def test_nothing_is_taken_on_while_draining_and_what_was_is_answered(running):
    service, listener = running(), Listener()
    service.submit(generation([1], 30), listener)
    service.drain()
    for take in (lambda: service.submit(generation([1]), Listener()), lambda: service.visit().__enter__()):
        with pytest.raises(Refused, match="the server is being stopped") as refused:
            take()
        assert refused.value.status == 503
    service.start()
    assert isinstance(listener.last(), Done)
    assert service.draining


def test_a_request_of_several_jobs_is_answered_while_draining_until_all_is_given_up(running):
    service = running()
    service.start()
    with service.visit():
        service.call(int).result(60)
        service.drain()
        assert service.call(lambda: 7).result(60) == 7
        assert not service.idle
        service.give_up()
        with pytest.raises(Refused, match="the server was stopped before") as refused:
            service.call(int)
        assert refused.value.status == 503
    assert service._visits == 0


def test_a_request_is_taken_back_before_and_after_its_turn(running):
    service = running()
    early, late, kept = Listener(), Listener(), Listener()
    service.cancel(service.submit(generation([1], 5), early))
    ticket = service.submit(generation([1], 1000, streamed=True), late)
    service.start()
    assert late.begun.wait(60)
    service.cancel(ticket)
    service.submit(generation([1], 2), kept)
    assert isinstance(kept.last(), Done)
    assert early.events == []
    assert not late.ended.is_set()
    service.cancel(ticket)  # has left already
    service.call(int).result(60)
    assert service.engine.counts.cancelled == 2


def test_jobs_run_between_steps_and_their_errors_come_back(running):
    service = running()
    service.start()
    assert service.call(threading.current_thread).result(60) is service._thread
    with pytest.raises(ZeroDivisionError):
        service.call(lambda: 1 / 0).result(60)


def test_an_error_of_the_engine_is_told_to_clients_in_a_sentence_and_to_the_log_with_its_trace(
    running, monkeypatch
):
    traces = []
    service, first, second = running(report=traces.append), Listener(), Listener()
    read = service.engine.reader.read

    def broken(works):
        monkeypatch.setattr(service.engine.reader, "read", read)
        raise RuntimeError("a secret of the server")

    monkeypatch.setattr(service.engine.reader, "read", broken)
    service.submit(generation([1]), first)
    service.start()
    assert first.last() == Failed(500, BROKEN)
    assert "a secret of the server" in traces[0]
    service.submit(generation([1]), second)
    assert isinstance(second.last(), Done)


def test_what_came_after_an_error_is_still_done(running, monkeypatch):
    traces = []
    service, gone, kept = running(report=traces.append), Listener(), Listener()
    ticket = service.submit(generation([1], 1000), gone)

    def broken(growing):
        raise RuntimeError("cannot be taken back")

    monkeypatch.setattr(service.engine, "cancel", broken)
    service.cancel(ticket)
    service.submit(generation([1], 2), kept)
    service.start()
    assert isinstance(kept.last(), Done)
    assert gone.last() == Failed(500, BROKEN)
    assert "cannot be taken back" in traces[0]


def test_the_thread_ends_when_it_is_stopped_whatever_is_under_way(running):
    service = running()
    service.submit(generation([1], 1000), Listener())
    service.start()
    service.stop()
    assert not service.alive
