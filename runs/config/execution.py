"""The section of a configuration that says how and where the work is done, and who is told of it."""

import re
from typing import Literal

from pydantic import field_validator

from organisms.layers.config import Count, NotNegative, Positive, Section
from runs.config.problems import nearest, shown
from runs.config.sections import Share

_ADDRESS = re.compile(r"local|auto|ray://[^\s/]+|[^\s/:]+:[0-9]+")
_TRACE_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\.json")
_COLLECTOR = re.compile(r"otlp://[A-Za-z0-9][A-Za-z0-9.-]*:([0-9]{1,5})")


class ExecutionConfig(Section):
    """How and where the work is done. No digest covers it, and it may differ on resume."""

    executor: Literal["ray", "inline"] = "ray"
    """ray: trainers are Ray actors; inline: the driver's own process trains."""
    workers: Count | Literal["auto"] = "auto"
    """Ray actors; auto: one for each core, at most one for each organism."""
    address: str = "local"
    """Ray cluster: local (a new one for this run), auto (the running one), ray://host:port or host:port."""
    placement: Literal["load", "hash", "random"] = "load"
    """Who does an order. load: whoever is idle; hash: always the same worker for like behaviour; random: any, drawn."""
    num_gpus: NotNegative = 0.0
    """GPUs per worker; may be a fraction."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Device that tensors are on."""
    order_timeout: Positive = 600.0
    """Seconds after which a worker that has not answered an order (one round of one organism) is replaced."""
    checkpoint_every: Count = 5
    """Rounds between two checkpoints, from which a resume starts."""
    attempts: Count = 3
    """Times that an order is sent before the run stops, if workers are lost."""
    trials: Share = 0.0
    """Share of the births, chosen by a named draw, of which shadow orders say what else they could have been worth: the
    same state trains on with the newborn, random material of its norm, its genes alone, a clone, and nothing."""
    audit: Share = 0.0
    """Share of the orders, chosen by a named draw, that a second worker repeats; different results stop the run."""

    metrics: str = "off"
    """Who is told what is measured. file: metrics.prom in the run's folder, in Prometheus' text format;
    prometheus://127.0.0.1:PORT: whoever asks for /metrics there while the run goes on (auto: any free port)."""
    trace: str = "off"
    """Where spans of orders and commits go: a file NAME.json in the run's traces/, which Perfetto opens, or
    otlp://HOST:PORT, a collector of OpenTelemetry that takes OTLP over HTTP."""

    @field_validator("metrics")
    @classmethod
    def _measured(cls, value: str) -> str:
        kind, _, port = value.partition("://127.0.0.1:")
        if value in ("off", "file") or (kind == "prometheus" and (port == "auto" or _is_port(port, 0))):
            return value
        raise ValueError(
            "must be off, file or prometheus://127.0.0.1:PORT (auto: any free port; metrics are told to this machine "
            f"alone), not {shown(value)}{nearest(value, ('off', 'file', 'prometheus://127.0.0.1:auto'))}"
        )

    @field_validator("trace")
    @classmethod
    def _traced(cls, value: str) -> str:
        collector = _COLLECTOR.fullmatch(value)
        if value == "off" or _TRACE_FILE.fullmatch(value) or (collector and _is_port(collector[1], 1)):
            return value
        raise ValueError(
            "must be off, the name of a file that ends in .json (it comes into the run's traces/), or "
            f"otlp://HOST:PORT, not {shown(value)}{nearest(value, ('off', 'trace.json'))}"
        )

    @field_validator("address")
    @classmethod
    def _place(cls, value: str) -> str:
        if not _ADDRESS.fullmatch(value):
            raise ValueError(f"must be local, auto, ray://host:port or host:port, not {shown(value)}")
        return value


def _is_port(text: str, least: int) -> bool:
    return re.fullmatch(r"[0-9]{1,5}", text) is not None and least <= int(text) < 65536
