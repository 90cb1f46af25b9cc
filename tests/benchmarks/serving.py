"""How fast a served model answers: caches, batches and shared beginnings, and what clients who misbehave cost others.

A server is a process of its own, its clients are threads of this one, and all share this machine. The model of symbols
has 2 blocks of width 512 with 8 experts of 1,024 hidden units, two for each token (27.6 million parameters): so wide
that products take most of the time of a token, and not what calls cost. The one of 10,000 requests is small, because
there the server is asked about, and not the model. Answers are checked first: with and without caches, alone and in
company, streamed and whole. A flow (2 layers of width 256, windows of 128 tokens, memories of 64 slots) is read in this
process, by what it keeps and by reading its last 256 tokens again, as a model is that keeps nothing.

    PYTHONPATH=. python tests/benchmarks/serving.py [PART ...]
"""

import http.client
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from runs.machine import settings

settings.prepare()

import torch

from runs.models.architectures import build
from runs.models.checkpoints import save
from runs.models.options import ExpertsOptions, FlowOptions, ModelChoice
from runs.models.signature import Signature
from runs.serving.engine import Engine
from runs.serving.generation import Done, Event, Generation, Token
from runs.serving.limits import Limits
from runs.serving.readers import Reader, Whole, reader_of

CLIENTS, PATIENCE = 32, 300
WIDE = {"d_model": 512, "router": {"n_experts": 8, "init_scale": 2.0}, "expert": {"d_hidden": 1024}}
NARROW = {"d_model": 32, "router": {"n_experts": 4, "init_scale": 2.0}, "expert": {"d_hidden": 32}}


class Client:
    """A connection to a server that is kept."""

    def __init__(self, at: str) -> None:
        place = urllib.parse.urlsplit(at)
        self.connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=PATIENCE)
        self.connection.connect()
        self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def post(self, path: str, **body: Any) -> http.client.HTTPResponse:
        self.connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        return self.connection.getresponse()

    def infer(self, tokens: list[int], new: int, **body: Any) -> dict[str, Any]:
        answer = self.post("/infer", tokens=tokens, max_new_tokens=new, **body)
        found = json.loads(answer.read())
        assert answer.status == 200, found
        return found

    def first(self, tokens: list[int], **body: Any) -> float:
        """Seconds to the first new token."""
        start = time.perf_counter()
        answer = self.post("/stream", tokens=tokens, max_new_tokens=2, **body)
        answer.readline()
        taken = time.perf_counter() - start
        answer.read()
        return taken

    def stats(self) -> dict[str, Any]:
        self.connection.request("GET", "/stats")
        return json.loads(self.connection.getresponse().read())


@contextmanager
def server(moe: dict[str, Any], layers: int, *options: str) -> Iterator[tuple[str, int]]:
    """A server of a model that was not trained: its URL and its process id."""
    shape = Signature("text", "token", "discrete", 256, 256, 256, True)
    block = {"moe": moe, "attention": {"n_heads": 8}}
    choice = ModelChoice(experts=ExpertsOptions.model_validate({"n_layers": layers, "block": block}))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        model = build(shape, choice, torch.Generator().manual_seed(0))
        save(path, model, choice, shape, metrics={}, fingerprint={})
        command = [sys.executable, "-m", "runs.cli", "serve", str(path), "--port", "0", *options]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            assert process.stdout is not None
            try:
                yield process.stdout.readline().strip(), process.pid
            finally:
                process.terminate()


def prompt(seed: int, length: int) -> list[int]:
    return torch.randint(256, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


def at_once(jobs: list[Callable[[], Any]]) -> list[Any]:
    """Run jobs in a thread each."""
    found: list[Any] = [None] * len(jobs)

    def run(number: int) -> None:
        found[number] = jobs[number]()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def seconds(job: Callable[[], Any]) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def quantiles(values: list[float]) -> str:
    ordered = sorted(values)
    p50, p99 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
    return f"p50 {1e3 * p50:.0f} ms, p99 {1e3 * p99:.0f} ms of {len(values)}"


def check(at: str) -> None:
    """Refuse to report anything of a server whose answers depend on caches, company or form."""
    clients = [Client(at) for _ in range(8)]
    asked = [(prompt(seed, 1 + 40 * seed), seed) for seed in range(8)]
    alone = [clients[0].infer(tokens, 12, seed=seed)["generated_tokens"] for tokens, seed in asked]
    jobs = [
        partial(clients[number].infer, tokens, 12, seed=seed) for number, (tokens, seed) in enumerate(asked)
    ]
    assert [each["generated_tokens"] for each in at_once(jobs)] == alone, (
        "company changes answers; nothing is reported"
    )
    for (tokens, seed), wanted in zip(asked, alone, strict=True):
        uncached = clients[0].infer(tokens, 12, seed=seed, use_cache=False)
        assert uncached["generated_tokens"] == wanted, "caches change answers; nothing is reported"
        text = clients[0].post("/stream", tokens=tokens, max_new_tokens=12, seed=seed).read().decode()
        values = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
        assert [value["token"] for value in values[:-1]] == wanted, "a stream differs; nothing is reported"
    print("answers: equal with and without caches, alone and in company, streamed and whole", flush=True)


def caches(at: str) -> None:
    client, new, tokens = Client(at), 512, prompt(100, 16)
    ask = partial(client.infer, tokens, new, seed=1, reuse_prefix=False)
    before = [seconds(ask), seconds(ask)]
    without = seconds(partial(ask, use_cache=False))
    with_ = statistics.median([*before, seconds(ask), seconds(ask)])
    print(
        f"512 new tokens: {new / with_:.0f} tokens/s with caches (median of 4), {new / without:.1f} without (once, "
        f"between them, as it takes {without:.0f} s): {without / with_:.1f} times",
        flush=True,
    )


def company(at: str, rounds: int = 3) -> None:
    clients, new = [Client(at) for _ in range(CLIENTS)], 64
    alone, together, latencies = [], [], []
    for number in range(rounds):
        few = [prompt(1000 * number + each, 16) for each in range(4)]
        taken = seconds(lambda: [clients[0].infer(tokens, new) for tokens in few])  # noqa: B023
        alone.append(len(few) * new / taken)
        prompts = [prompt(1000 * number + 10 + each, 16) for each in range(CLIENTS)]
        jobs = [
            partial(seconds, partial(client.infer, tokens, new))
            for client, tokens in zip(clients, prompts, strict=True)
        ]
        start = time.perf_counter()
        latencies += at_once(jobs)
        together.append(CLIENTS * new / (time.perf_counter() - start))
    one, many = statistics.median(alone), statistics.median(together)
    print(
        f"{CLIENTS} clients at once: {many:.0f} tokens/s, one at a time: {one:.0f}: {many / one:.1f} times "
        f"(medians of {rounds}); requests of {new} tokens at once: {quantiles(latencies)}",
        flush=True,
    )


def beginnings(at: str, rounds: int = 7) -> None:
    client, shared = Client(at), prompt(7, 1000)
    client.first(shared)
    cold, warm = [], []
    for number in range(rounds):
        tokens = [*shared, *prompt(2000 + number, 8)]
        cold.append(client.first(tokens, reuse_prefix=False))
        warm.append(client.first(tokens))
    one, other = statistics.median(cold), statistics.median(warm)
    print(
        f"first token after a shared prompt of 1,000 tokens: {1e3 * other:.1f} ms, without sharing {1e3 * one:.0f} ms: "
        f"{one / other:.1f} times (medians of {rounds})",
        flush=True,
    )


def misbehaved(at: str, rounds: int = 4) -> None:
    """Four clients that behave, alone and beside others that leave, send slowly or send nonsense."""
    good, bad = [Client(at) for _ in range(4)], Misbehaving(at)
    well(good, 9000)
    quiet, loud = [], []
    for number in range(rounds):
        quiet += well(good, 10_000 + 1000 * number)
        with bad:
            loud += well(good, 20_000 + 1000 * number)
    one, other = statistics.median(quiet), statistics.median(loud)
    print(
        f"4 clients beside {bad.left} that left, {bad.slow} that sent slowly and {bad.wrong} that sent nonsense: "
        f"{other / one:.2f} times as long ({quantiles(loud)}, before {quantiles(quiet)}); all answered, "
        f"{good[0].stats()['cancelled']} taken back",
        flush=True,
    )


def well(clients: list[Client], seed: int, each: int = 12) -> list[float]:
    """Seconds of each request of clients that behave."""

    def one(client: Client, own: int) -> list[float]:
        prompts = [prompt(own + number, 16) for number in range(each)]
        return [seconds(partial(client.infer, tokens, 16)) for tokens in prompts]

    jobs = [partial(one, client, seed + 100 * number) for number, client in enumerate(clients)]
    return [value for values in at_once(jobs) for value in values]


class Misbehaving:
    """Clients that leave, that send a byte now and then, and that send nonsense, within a ``with`` statement."""

    TEXTS = ('{"tokens": [NaN]}', "{" * 500, '{"tokens": [-1]}', "\x00\xff", '{"tokens": ' + "[" * 5000)
    JSON: ClassVar = {"Content-Type": "application/json"}

    def __init__(self, at: str) -> None:
        self._at, self._ending = at, threading.Event()
        self.left = self.slow = self.wrong = 0

    def __enter__(self) -> None:
        self._ending.clear()
        self._threads = [
            threading.Thread(target=each) for each in (self._leave, *[self._drip] * 8, self._nonsense)
        ]
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _leave(self) -> None:
        while not self._ending.wait(0.25):
            connection = Client(self._at).connection
            body = json.dumps({"tokens": prompt(self.left, 16), "max_new_tokens": 1000})
            connection.request("POST", "/infer", body, self.JSON)
            self._ending.wait(0.02)
            connection.close()
            self.left += 1

    def _drip(self) -> None:
        place = urllib.parse.urlsplit(self._at)
        head = "POST /infer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        while not self._ending.is_set():
            with socket.create_connection((place.hostname, place.port)) as slow:
                slow.sendall(f"{head}Content-Length: 200\r\n\r\n{{".encode())
                for _ in range(10):
                    if self._ending.wait(0.1):
                        break
                    slow.sendall(b" ")
            self.slow += 1

    def _nonsense(self) -> None:
        connection = Client(self._at).connection
        while not self._ending.wait(0.02):
            text = self.TEXTS[self.wrong % len(self.TEXTS)]
            connection.request("POST", "/infer", text.encode("latin-1"), self.JSON)
            answer = connection.getresponse()
            assert answer.status in (400, 422), answer.status
            answer.read()
            self.wrong += 1


def memory(at: str, pid: int, requests: int = 10_000) -> None:
    clients, sizes = [Client(at) for _ in range(16)], []
    start = time.perf_counter()
    for part in range(10):
        own = requests // 10 // len(clients) + 1
        jobs = [
            partial(several, client, 100_000 * part + 5000 * number, own)
            for number, client in enumerate(clients)
        ]
        at_once(jobs)
        sizes.append(resident(pid))
    taken, found = time.perf_counter() - start, clients[0].stats()
    print(
        f"{found['total_requests']} requests in {taken:.0f} s, {found['completed']} answered: "
        f"{sizes[0]:.0f} MiB resident after a tenth of them, {sizes[4]:.0f} after a half, {sizes[-1]:.0f} after all; "
        f"cache of {found['kv_cache_entries']} entries and {found['kv_cache_total_tokens']} tokens, "
        f"{found['kv_cache_evictions']} evicted",
        flush=True,
    )
    assert found["completed"] == found["total_requests"], "requests were lost"


def flow(new: int = 192, rounds: int = 3) -> None:
    """One sequence and eight at once, in turns with reading again, which takes so long that it says fewer tokens."""
    shape = Signature("text", "token", "discrete", 256, 256, 256, True)
    options = {
        "d_model": 256,
        "n_heads": 8,
        "n_patterns": 16,
        "base_sparsity": 0.1,
        "window": 128,
        "memory_size": 64,
    }
    choice = ModelChoice(kind="flow", flow=FlowOptions.model_validate(options))
    model = build(shape, choice, torch.Generator().manual_seed(0)).eval()
    keeping, again = (
        partial(reader_of, model, shape, 8, shared=False),
        partial(Whole, model, shape.length, "nothing shall be kept"),
    )
    answers = [
        grown(reader(), [prompt(each, 16) for each in range(2)], new)[0] for reader in (keeping, again)
    ]
    assert answers[0] == answers[1], "what is kept changes the likeliest symbols; nothing is reported"
    print(f"a flow answers {new} likeliest symbols alike, by what it keeps and by reading again", flush=True)
    for count in (1, 8):
        prompts = [prompt(100 + each, 16) for each in range(count)]
        with_, without = [], []
        for _ in range(rounds):
            with_.append(count * new / grown(keeping(), prompts, new)[1])
            without.append(
                count
                * (new // 8)
                / grown(again(), [[*each, *prompt(7, 112)] for each in prompts], new // 8)[1]
            )
        one, other = statistics.median(with_), statistics.median(without)
        print(
            f"a flow, {count} at once: {one:.0f} tokens/s by what it keeps, {other:.1f} by reading 128 to "
            f"{128 + new // 8} tokens again: {one / other:.1f} times (medians of {rounds}); "
            f"{keeping().nbytes / 2**20 / 8:.1f} MiB a sequence of any length",
            flush=True,
        )


def grown(reader: Reader, prompts: list[list[int]], new: int) -> tuple[list[tuple[Token, ...]], float]:
    """Likeliest continuations of several prompts at once, and the seconds that they took."""
    engine = Engine(
        reader, discrete=True, limits=Limits(max_batch_size=8, kv_cache_size=0), clock=time.monotonic
    )
    ends: list[Event] = []
    start = time.perf_counter()
    for number, tokens in enumerate(prompts):
        asked = Generation(str(number), tuple(tokens), new, temperature=0.0)
        engine.submit(asked, ends.append)
    while engine.busy:
        engine.step()
    taken = time.perf_counter() - start
    done = sorted(
        (each for each in ends if isinstance(each, Done)), key=lambda each: each.generation.request_id
    )
    assert len(done) == len(prompts), ends
    return [each.new_tokens for each in done], taken


def several(client: Client, seed: int, count: int) -> None:
    for number in range(count):
        client.infer(prompt(seed + number, 24), 2)


def resident(pid: int) -> float:
    """MiB of a process in memory (Linux)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


PARTS = {"company": company, "beginnings": beginnings, "misbehaved": misbehaved}


def main(wanted: list[str]) -> None:
    if not wanted or "flow" in wanted:
        flow()
    if wanted == ["flow"]:
        return
    with server(WIDE, 2) as (at, _):
        check(at)
        for name, part in PARTS.items():
            if name in (wanted or PARTS):
                part(at)
    if not wanted or "caches" in wanted:
        # Whatever is read again is read at once, as nobody else is to be answered meanwhile.
        with server(WIDE, 2, "--prefill-chunk", "1024", "--timeout", str(PATIENCE)) as (at, _):
            caches(at)
    if not wanted or "memory" in wanted:
        with server(NARROW, 2, "--kv-cache-size", "200", "--kv-cache-max-tokens", "4000") as (at, pid):
            memory(at, pid)


if __name__ == "__main__":
    main(sys.argv[1:])
