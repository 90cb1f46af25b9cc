import os
import signal
import threading

import pytest

from archive_store.run_directory import RunDirectory
from runs.errors import Stopped
from runs.launch import launch
from runs.machine.interruption import SIGNALS, listening
from runs.resume import resume
from tests.fixtures.small_runs import contents, digests, small


def in_calibration(number):
    """Send a signal as soon as the run is calibrated: before, it is still loading and has nothing to leave."""
    return lambda progress: send(number) if progress.stage == "calibration" else None


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", SIGNALS)
class TestListening:
    def test_before_there_is_anything_to_bring_to_an_end_it_interrupts(self, number):
        with listening(), pytest.raises(KeyboardInterrupt):
            send(number)

    def test_the_first_is_a_request_and_the_second_interrupts(self, number, capfd):
        with listening() as stop:
            assert not stop.patiently()
            send(number)
            assert stop.patiently()
            with pytest.raises(KeyboardInterrupt):
                send(number)
        assert capfd.readouterr().err == (
            "plasmodia: stopping when the orders under way are done; once more to stop now\n"
        )

    def test_afterwards_the_handlers_are_those_of_before(self, number):
        before = signal.getsignal(number)
        with listening():
            assert signal.getsignal(number) != before
        assert signal.getsignal(number) == before


def test_under_nohup_the_end_of_a_terminal_is_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with listening() as stop:
            stop.patiently()
            send(signal.SIGHUP)
            assert not stop.patiently()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_in_a_thread_nothing_is_handled():
    told = []

    def listen():
        with listening() as stop:
            told.append((stop.patiently(), [signal.getsignal(number) for number in SIGNALS]))

    before = [signal.getsignal(number) for number in SIGNALS]
    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert told == [(False, before)]


def signal_in(round, number, times=1):
    """Make a reporter that sends this process a signal when a round has just been journaled."""

    def report(progress):
        if (progress.stage, progress.round) == ("rounds", round):
            for _ in range(times):
                send(number)

    return report


@pytest.mark.parametrize("number", SIGNALS)
class TestRuns:
    @pytest.mark.parametrize("round", [1, 3])
    def test_the_first_signal_drains_keeps_the_states_and_says_how_to_go_on(
        self, number, round, undisturbed, tmp_path
    ):
        run = tmp_path / "run"
        with pytest.raises(
            Stopped, match=rf"stopped after round \d of 4, as asked; .*resume {run}"
        ) as caught:
            launch(small("execution.checkpoint_every=100"), run, signal_in(round, number))
        assert caught.value.exit_status == 3
        with RunDirectory.open(run).journal() as journal:
            last = journal.last_round()
            assert last >= round
            assert {state.round for state in journal.states()} == {last}
            assert len(journal.states()) == 3
            for state in journal.states():
                assert RunDirectory.open(run).blobs.intact(state.digest)
        resume(run, {})
        assert digests(run) == digests(undisturbed)
        assert contents(run) == contents(undisturbed)

    @pytest.mark.long
    def test_the_second_interrupts_and_the_run_can_be_resumed(self, number, undisturbed, tmp_path):
        run = tmp_path / "run"
        with pytest.raises(KeyboardInterrupt):
            launch(small(), run, signal_in(2, number, times=2))
        assert set(digests(run)) == {0, 1, 2}
        resume(run, {})
        assert digests(run) == digests(undisturbed)

    def test_one_in_calibration_leaves_nothing(self, number, tmp_path):
        with pytest.raises(KeyboardInterrupt):
            launch(small(), tmp_path / "run", in_calibration(number))
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.long
    def test_a_resume_can_be_stopped_too(self, number, undisturbed, tmp_path):
        run = tmp_path / "run"
        for round in (1, 2, 3):
            with pytest.raises(Stopped):
                launch(small(), run, signal_in(1, number)) if round == 1 else resume(
                    run, {}, signal_in(round, number)
                )
        resume(run, {})
        assert digests(run) == digests(undisturbed)
