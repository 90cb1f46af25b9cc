"""The subcommand serve: a trained model answers over HTTP."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runs.commands.options import AsJson, as_text, prepare_machine
from runs.commands.streams import messages_only, say, warn
from runs.errors import ConfigError

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda", "mps")
SHORTEST = 16  # characters of a token


def serve(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL",
            help="Folder of a checkpoint, of a training (its best), or of a run.",
            show_default=False,
        ),
    ],
    host: Annotated[
        str, typer.Option(metavar="HOST", help="Where to listen; beyond this machine it takes a token.")
    ] = "127.0.0.1",
    port: Annotated[
        str, typer.Option(metavar="N|auto", help="Port; auto: the first free one from 8080 on; 0: any.")
    ] = "8080",
    device: Annotated[
        str,
        typer.Option(metavar="DEVICE", help="auto (CUDA, MPS or CPU, the first there is), cpu, cuda or mps."),
    ] = "auto",
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Holds the token that clients must send (Authorization: Bearer)."),
    ] = None,
    cors: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN", help="Origin of web pages that may call, such as https://a.example; repeatable."
        ),
    ] = None,
    max_batch_size: Annotated[
        int | None,
        typer.Option(metavar="N", help="Requests that are answered at the same time [default: 32]."),
    ] = None,
    kv_cache_size: Annotated[
        int | None, typer.Option(metavar="N", help="Entries of the prefix cache [default: 1000].")
    ] = None,
    kv_cache_max_tokens: Annotated[
        int | None, typer.Option(metavar="N", help="Tokens of the prefix cache [default: 1000000].")
    ] = None,
    max_waiting: Annotated[
        int | None, typer.Option(metavar="N", help="Requests that may wait; then 429 [default: 256].")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(metavar="N", help="Tokens of a prompt and its continuation [default: 4096].")
    ] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(metavar="N", help="New tokens of a request [default: 1024].")
    ] = None,
    max_body: Annotated[
        int | None, typer.Option(metavar="BYTES", help="Size of a request [default: 1048576].")
    ] = None,
    prefill_chunk: Annotated[
        int | None,
        typer.Option(metavar="N", help="Tokens of prompts that are read between two steps [default: 64]."),
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="For a whole answer; then 504 [default: 120].")
    ] = None,
    body_timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="For a client to send its request [default: 10].")
    ] = None,
    drain_timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="For requests under way when asked to stop [default: 30]."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Serve a trained model over HTTP: /infer, /stream, /predict, /v1/completions; /docs lists all."""
    _installed()
    with messages_only():
        prepare_machine()
    from runs.machine.sockets import is_loopback, listening, url
    from runs.models.opening import kind_of, module_of
    from runs.serving.http.app import application
    from runs.serving.http.guard import LOOPBACK
    from runs.serving.http.server import serve as serve_on
    from runs.serving.limits import limits
    from runs.serving.start import served

    kept = limits(
        max_batch_size=max_batch_size,
        kv_cache_size=kv_cache_size,
        kv_cache_max_tokens=kv_cache_max_tokens,
        max_waiting=max_waiting,
        max_tokens=max_tokens,
        max_new_tokens=max_new_tokens,
        max_body=max_body,
        prefill_chunk=prefill_chunk,
        timeout=timeout,
        body_timeout=body_timeout,
        drain_timeout=drain_timeout,
    )
    number = port_of(port)
    token = None if token_file is None else read_token(token_file)
    for origin in cors or ():
        _check_origin(origin)
    local = is_loopback(host)
    if not local and token is None:
        raise ConfigError(
            f"--host {host} can be reached from outside: give --token-file FILE with a token of at least {SHORTEST} "
            "characters, or listen at 127.0.0.1"
        )
    chosen = _device(device)
    kind_of(model)
    with listening(host, number) as bound:
        with messages_only():
            module, signature, digest, lengths = module_of(model)
        found = served(module.to(chosen), signature, lengths, model.resolve().name, kept, _report)
        hosts = tuple(dict.fromkeys((*LOOPBACK, host.lower()))) if local else None
        app = application(found, token=token, hosts=hosts, origins=tuple(cors or ()), report=_report)
        where = url(bound)
        if json:
            say(as_text({"url": where, "model": found.name, "digest": digest, "device": str(chosen)}))
        else:
            say(where)
        sys.stdout.flush()
        reader = found.service.engine.reader
        full = kept.kv_cache_max_tokens * reader.token_nbytes
        if reader.incremental and kept.kv_cache_size:
            warn(f"when it is full, the prefix cache takes {full / 2**20:.0f} MiB (--kv-cache-max-tokens)")
        warn(f"serving {model} on {chosen} ({reader.description}); see {where}/docs; Ctrl-C to stop")
        serve_on(app, found.service, bound, kept.drain_timeout, warn)
    counts = found.service.engine.counts
    warn(f"stopped after {counts.requests} requests, of which {counts.completed} were answered whole")


def read_token(path: Path) -> str:
    """Return the token that a file holds.

    Raises
    ------
    ConfigError
        If it cannot be read, or holds no token.
    """
    try:
        token = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ConfigError(f"--token-file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        token = ""
    if len(token) < SHORTEST or not token.isprintable() or " " in token:
        raise ConfigError(
            f"--token-file {path} must hold one line of at least {SHORTEST} ASCII characters without spaces, such as "
            "`openssl rand -hex 32` writes"
        )
    return token


def _installed() -> None:
    from importlib.util import find_spec

    missing = [name for name in ("fastapi", "uvicorn", "prometheus_client") if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"serve needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed: "
            "pip install 'plasmodia[serve]'"
        )


def port_of(text: str) -> int | None:
    """Return the port that an option names, None for auto.

    Raises
    ------
    ConfigError
        If it is no port.
    """
    if text == "auto":
        return None
    from runs.config.problems import nearest

    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) < 2**16):
        raise ConfigError(
            f"--port must be auto or a whole number from 0 to 65535, not {text}{nearest(text, ['auto'])}"
        )
    return int(text)


def _check_origin(origin: str) -> None:
    from urllib.parse import urlsplit

    parts = urlsplit(origin)
    if (
        parts.scheme not in ("http", "https")
        or not parts.netloc
        or origin != f"{parts.scheme}://{parts.netloc}"
    ):
        raise ConfigError(
            f"--cors must be an origin such as https://a.example or http://localhost:3000, not {origin}"
        )


def _device(name: str) -> "torch.device":
    import torch

    from runs.config.problems import nearest

    if name not in DEVICES:
        raise ConfigError(f"--device must be one of {', '.join(DEVICES)}, not {name}{nearest(name, DEVICES)}")
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(each for each, is_there in there.items() if is_there))
    if not there[name]:
        known = ", ".join(each for each, is_there in there.items() if is_there)
        raise ConfigError(f"--device {name} is not there; here there is: {known}")
    return torch.device(name)


def _report(trace: str) -> None:
    warn(f"a request failed by a fault of the server\n{trace}")
