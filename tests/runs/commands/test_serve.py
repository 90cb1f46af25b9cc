"""The subcommand serve: what it refuses before it serves, and a server's whole life as a process."""

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from runs.cli import app
from runs.machine.sockets import listening
from runs.models.architectures import build
from runs.models.checkpoints import save
from tests.runs.serving.small import choice, symbols

ROOT = Path(__file__).parents[3]


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    """A checkpoint of a small model that was not trained, in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    model = build(symbols(), choice(), torch.Generator().manual_seed(0))
    save(tmp_path / "model", model, choice(), symbols(), metrics={}, fingerprint={})
    return tmp_path / "model"


def refused(*arguments):
    """Call the command; give the one sentence that it says."""
    result = CliRunner().invoke(app, ["serve", *map(str, arguments)])
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    (line,) = result.stderr.splitlines()
    return line.removeprefix("plasmodia: ")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere"], "nowhere is no folder; give the folder of a training, of one of its checkpoints, or of a run"),
        (["model", "--port", "many"], "--port must be auto or a whole number from 0 to 65535, not many"),
        (["model", "--port", "65536"], "--port must be auto or a whole number from 0 to 65535, not 65536"),
        (["model", "--port", "aut"], "not aut; did you mean auto?"),
        (["model", "--host", "0.0.0.0"], "can be reached from outside: give --token-file FILE"),
        (["model", "--token-file", "none"], "--token-file none cannot be read: No such file or directory"),
        (["model", "--token-file", "short"], "--token-file short must hold one line of at least 16 ASCII characters"),
        (["model", "--token-file", "binary"], "--token-file binary must hold one line of at least 16 ASCII"),
        (["model", "--device", "cdua"], "--device must be one of auto, cpu, cuda, mps, not cdua; did you mean cuda?"),
        (["model", "--cors", "*"], "--cors must be an origin such as https://a.example"),
        (["model", "--cors", "https://a.example/path"], "--cors must be an origin such as https://a.example"),
        (["model", "--max-batch-size", "0"], "--max-batch-size: must be at least 1, not 0"),
        (["model", "--timeout", "nan"], "--timeout: must be a finite number"),
        (["model", "--max-new-tokens", "9999"], "max_new_tokens must be less than max_tokens, 4096, not 9999"),
    ],
)  # fmt: skip
def test_what_cannot_be_served_is_told_in_one_sentence(checkpoint, arguments, told):
    Path("short").write_text("secret\n")
    Path("binary").write_bytes(b"\xff" * 20)
    assert told in refused(*arguments)


def test_a_device_that_is_not_there_is_told(checkpoint, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "--device cuda is not there; here there is:" in refused("model", "--device", "cuda")


def test_a_taken_port_is_told_with_one_that_is_free(checkpoint):
    with listening("127.0.0.1", 0) as bound:
        port = bound.getsockname()[1]
        assert f"port {port} of 127.0.0.1 is taken; " in refused("model", "--port", port)


def test_what_serving_needs_and_is_not_installed_is_named(checkpoint, monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *given: None if name == "uvicorn" else found(name, *given)
    )
    assert refused("model") == "serve needs uvicorn, which is not installed: pip install 'plasmodia[serve]'"


@pytest.mark.long
def test_a_server_says_where_it_is_answers_and_ends_when_asked(checkpoint):
    command = [sys.executable, "-m", "runs.cli", "serve", "model", "--port", "0", "--json"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    ) as server:
        said = json.loads("".join(iter(server.stdout.readline, "}\n")) + "}")
        request = urllib.request.Request(
            f"{said['url']}/infer",
            json.dumps({"tokens": [1, 2], "max_new_tokens": 3, "seed": 4}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            found = json.load(answer)
        assert len(found["generated_tokens"]) == 3
        server.send_signal(signal.SIGTERM)
        rest, messages = server.communicate(timeout=60)
    assert (server.returncode, rest) == (0, "")
    assert said["model"] == "model"
    lines = messages.splitlines()
    assert lines[0] == "plasmodia: when it is full, the prefix cache takes 244 MiB (--kv-cache-max-tokens)"
    assert lines[1].startswith("plasmodia: serving model on ")
    assert lines[2:] == [
        "plasmodia: stopping when the requests under way are answered; once more to stop now",
        "plasmodia: stopped after 1 requests, of which 1 were answered whole",
    ]
