"""What `plasmodia models` prints of the models of a folder, and of one."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from archive_store.shown import shown
from runs.models.checkpoints import MODEL, shapes
from runs.models.keeping.catalogue import Entry
from runs.models.opening import checkpoint_of, described, kind_of, open_model
from runs.results.columns import aligned

LONGEST = 1000  # characters of a value
HEADS = (
    "model", "kind", "architecture", "task", "parameters", "step/round", "loss", "score", "size", "last change",
)  # fmt: skip


def listed(entries: Sequence[Entry]) -> str:
    """Return a table of models, a line each; after it those that cannot be used, with the reason."""
    usable = [entry for entry in entries if entry.problem is None]
    lines = aligned([HEADS, *map(_row, usable)]) if usable else []
    lines += [
        f"damaged: {shown(entry.name, LONGEST)}: {shown(entry.problem, LONGEST)}"
        for entry in entries
        if entry.problem is not None
    ]
    return "\n".join(lines)


def _row(entry: Entry) -> list[str]:
    return [
        shown(entry.name, LONGEST),
        entry.kind,
        shown(entry.architecture or "-"),
        shown(entry.task or "-"),
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

    A checkpoint is read and not built, so that no code is imported that it names; the network of a run is built.

    Raises
    ------
    ConfigError
        If the folder keeps none.
    RunError, StoreError
        If it is damaged.
    """
    if kind_of(path) == "run":
        return _of_run(path)
    checkpoint = checkpoint_of(path)
    numbers = {name: math.prod(shape) for name, shape in shapes(checkpoint.path / MODEL).items()}
    kind = checkpoint.choice.kind
    chosen = checkpoint.choice.model_dump(mode="json")
    return {
        **described(checkpoint),
        "signature": checkpoint.signature.plain(),
        **_counted(numbers),
        "options": chosen.get(kind, chosen["options"]),
        "data": None if checkpoint.data is None else dict(checkpoint.data),
        "digests": {
            file.name: hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(checkpoint.path.iterdir())
            if file.is_file()
        },
        "fingerprint": dict(checkpoint.fingerprint),
    }


def _of_run(path: Path) -> dict[str, Any]:
    from archive_store.reading import open_run

    opened, run = open_model(path), open_run(path)
    numbers = {name.removeprefix("model."): each.numel() for name, each in opened.model.state_dict().items()}
    return {
        **opened.description,
        "signature": opened.signature.plain(),
        **_counted(numbers),
        "options": run.config.get("organism"),
        **run.environment,
    }


def _counted(numbers: Mapping[str, int]) -> dict[str, Any]:
    """Return how many numbers parameters and buffers have, by the module that has them, and together."""
    found: dict[str, int] = {}
    for name, number in numbers.items():
        module = name.rpartition(".")[0] or "(itself)"
        found[module] = found.get(module, 0) + number
    return {"parameters": sum(found.values()), "parameters_by_module": found}


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
    return "\n".join(aligned([(shown(name), shown(value, LONGEST)) for name, value in rows]))


def _below(name: str, value: Any) -> list[tuple[str, Any]]:
    """Return a mapping as rows with key paths."""
    if not isinstance(value, Mapping):
        return [] if value is None else [(name, value)]
    return [row for key, inner in value.items() for row in _below(f"{name}.{key}", inner)]


def _whole(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
