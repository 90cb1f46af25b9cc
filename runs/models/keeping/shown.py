"""What `plasmodia models` prints of the models of a folder, and of one."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runs.models.keeping.catalogue import Entry
from runs.models.keeping.columns import aligned
from runs.models.opening import Opened, checkpoint_of, kind_of, open_model

HEADS = (
    "model", "kind", "architecture", "task", "parameters", "step/round", "loss", "score", "size", "last change",
)  # fmt: skip


def listed(entries: Sequence[Entry]) -> str:
    """Return a table of models, a line each; after it those that cannot be used, with the reason."""
    usable = [entry for entry in entries if entry.problem is None]
    lines = aligned([HEADS, *map(_row, usable)]) if usable else []
    lines += [f"damaged: {entry.name}: {entry.problem}" for entry in entries if entry.problem is not None]
    return "\n".join(lines)


def _row(entry: Entry) -> list[str]:
    return [
        entry.name,
        entry.kind,
        entry.architecture or "-",
        entry.task or "-",
        _whole(entry.parameters),
        _whole(entry.step),
        _number(entry.loss),
        _number(entry.score),
        readable(entry.size),
        f"{datetime.fromtimestamp(entry.changed, UTC):%Y-%m-%d %H:%M} UTC",
    ]


def readable(size: int) -> str:
    """Return a number of bytes in the unit that suits it."""
    value, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def details(path: Path) -> dict[str, Any]:
    """Return everything of one model, as plain values.

    Raises
    ------
    ConfigError
        If the folder keeps none.
    RunError, StoreError
        If it is damaged.
    """
    opened = open_model(path)
    found: dict[str, Any] = {
        **opened.description,
        "signature": opened.signature.plain(),
        "parameters": sum(parameters(opened).values()),
        "parameters_by_module": parameters(opened),
    }
    if kind_of(path) == "run":
        from archive_store.reading import open_run

        run = open_run(path)
        return found | {"options": run.config.get("organism"), **run.environment}
    checkpoint = checkpoint_of(path)
    kind = checkpoint.choice.kind
    chosen = checkpoint.choice.model_dump(mode="json")
    return found | {
        "options": chosen.get(kind, chosen["options"]),
        "data": None if checkpoint.data is None else dict(checkpoint.data),
        "digests": {
            file.name: hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(checkpoint.path.iterdir())
            if file.is_file()
        },
        "fingerprint": dict(checkpoint.fingerprint),
    }


def parameters(opened: Opened) -> dict[str, int]:
    """Return the numbers of a model's parameters and buffers, by the module that has them."""
    found: dict[str, int] = {}
    for name, tensor in opened.model.state_dict().items():
        module = name.removeprefix("model.").rpartition(".")[0] or "(itself)"
        found[module] = found.get(module, 0) + tensor.numel()
    return found


def told(found: Mapping[str, Any]) -> str:
    """Return the details of a model as text."""
    metrics = found["metrics"]
    place = [("step", found["step"])] if "step" in found else []
    place += [(name, found[name]) for name in ("organism", "round") if name in found]
    rows = [
        ("path", found["path"]),
        ("kind", found["kind"]),
        ("digest", f"{found['digest']} (all files are what their digests say)"),
        ("architecture", found["architecture"]),
        ("task", found["task"]),
        *place,
        *(row for name, value in metrics.items() if name != "step" for row in _below(name, value)),
        ("parameters", f"{found['parameters']:,}"),
        *((f"  {module}", f"{number:,}") for module, number in found["parameters_by_module"].items()),
        *_below("signature", found["signature"]),
        *_below("options", found["options"]),
        *_below("data", found.get("data")),
        *_below("fingerprint", found["fingerprint"]),
    ]
    return "\n".join(aligned([(name, str(value)) for name, value in rows]))


def _below(name: str, value: Any) -> list[tuple[str, Any]]:
    """Return a mapping as rows with key paths."""
    if not isinstance(value, Mapping):
        return [] if value is None else [(name, value)]
    return [row for key, inner in value.items() for row in _below(f"{name}.{key}", inner)]


def _whole(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
