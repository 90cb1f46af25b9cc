"""What it costs a run to be watched: launches in turn with and without a watcher and somebody who looks at the run.

The watcher is a process of the same group, and a client takes every page that it offers, as a browser does (which draws
it, too: that is not measured). The answer is checked first: all launches have one digest. What is compared is the time
of the rounds as the journal has it, by medians over pairs whose order alternates.

    PYTHONPATH=. python tests/benchmarks/watching.py [PAIRS] [key.path=value ...]
"""

import http.client
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import urllib.parse
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from archive_store.reading import open_run

PAIRS = 5
LONG = ("rounds=10", "training.steps_per_round=60", "organism.count=4")  # rounds of some seconds
COMMAND = (sys.executable, "-m", "runs.cli")


@dataclass
class Launch:
    """What a launch took."""

    rounds: float  # seconds, as the journal has them
    processor: float  # seconds of its own
    watcher: float = 0.0  # seconds of the watcher's processor
    pages: int = 0


def main(pairs: int, overrides: list[str]) -> None:
    """Launch, check, print."""
    found: dict[bool, list[Launch]] = {True: [], False: []}
    digests = set()
    with tempfile.TemporaryDirectory() as place:
        for pair in range(pairs):
            for is_watched in (pair % 2 == 0, pair % 2 == 1):
                folder = Path(place) / f"{pair}-{is_watched}"
                one = watched(folder, overrides) if is_watched else launch(folder, overrides)
                digests.add(open_run(folder / "run").digest())
                assert len(digests) == 1, "a run that is watched has another digest; nothing is reported"
                found[is_watched].append(one)
                print(f"{'watched' if is_watched else 'alone':8} {one.rounds:8.2f} s", flush=True)
    report(found[False], found[True])


def report(alone: list[Launch], watched: list[Launch]) -> None:
    """Print medians."""
    for name, key in (
        ("rounds of a launch, seconds", "rounds"),
        ("its own processor time, seconds", "processor"),
    ):
        one, other = (statistics.median(getattr(each, key) for each in part) for part in (alone, watched))
        pairs = [getattr(b, key) / getattr(a, key) for a, b in zip(alone, watched, strict=True)]
        print(f"{name:<36} alone {one:8.2f}, watched {other:8.2f}, ratio {other / one:.4f}, of pairs "
              f"{statistics.median(pairs):.4f}")  # fmt: skip
    print(f"{'processor time of the watcher':<36} {statistics.median(each.watcher for each in watched):.2f}")
    print(f"{'pages that were made':<36} {statistics.median(each.pages for each in watched):.0f}")


def launch(folder: Path, overrides: list[str]) -> Launch:
    """Launch a run by itself."""
    command = [*COMMAND, "launch", "smoke", *LONG, *overrides, "--executor", "inline", "--quiet"]
    before = own_seconds()
    subprocess.run([*command, "--out", str(folder / "run")], check=True, stdout=subprocess.DEVNULL)
    timings = open_run(folder / "run").timings()
    rounds = timings[(timings["name"] == "wall") & (timings["round"] > 0)]["seconds"].sum()
    return Launch(float(rounds), own_seconds() - before)


def watched(folder: Path, overrides: list[str]) -> Launch:
    """Launch a run that somebody looks at."""
    # There is a run from the beginning, since a folder without one is not watched.
    small = [
        *COMMAND,
        "launch",
        "smoke",
        "rounds=1",
        "--executor",
        "inline",
        "--quiet",
        "--out",
        str(folder / "first"),
    ]
    subprocess.run(small, check=True, stdout=subprocess.DEVNULL)
    command = [*COMMAND, "watch", str(folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        client = Client(process.stdout.readline().strip())
        try:
            client.warm_up()
            client.start()
            before = processor_seconds(process.pid)
            found = launch(folder, overrides)
            found.watcher = processor_seconds(process.pid) - before
        finally:
            process.terminate()
    client.join()
    found.pages = client.pages
    return found


def own_seconds() -> float:
    """Processor seconds of all processes that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Client(threading.Thread):
    """Who looks at the run as soon as it is there."""

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        self.place = urllib.parse.urlsplit(address)
        self.pages = 0

    def warm_up(self) -> None:
        """Let the watcher load what pages take, as it has when it runs since before a launch."""
        key = next(self.stream("events"))["runs"][0]["key"]
        self.ask(f"run?key={key}").read()

    def run(self) -> None:
        """Follow the list until the run is there, then its page, until the watcher ends."""
        with suppress(ConnectionError, http.client.HTTPException):
            self.follow()

    def follow(self) -> None:
        """Take every page that is offered."""
        key = next(
            run["key"] for told in self.stream("events") for run in told["runs"] if run["name"] == "run"
        )
        shown = None
        for told in self.stream(f"events?key={key}"):
            if told["page"] != shown:
                shown = told["page"]
                assert self.ask(f"run?key={key}").read().startswith(b"<!DOCTYPE html>")
                self.pages += 1

    def stream(self, path: str):
        """What a stream tells, until it ends."""
        for line in self.ask(path):
            if line.startswith(b"data: "):
                yield json.loads(line[6:])

    def ask(self, path: str) -> http.client.HTTPResponse:
        """An answer whose connection is its own."""
        connection = http.client.HTTPConnection(self.place.hostname or "", self.place.port)
        connection.request("GET", self.place.path + path)
        return connection.getresponse()


def processor_seconds(pid: int) -> float:
    """What a process has used of the processors so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    given = sys.argv[1:]
    count = int(given.pop(0)) if given and given[0].isdigit() else PAIRS
    main(count, given)
