"""What this machine has of what runs need, checked one thing at a time."""

import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Literal

from runs import environment
from runs.errors import RunError

DISTRIBUTION = "plasmodia"
GIB = 2**30
LEAST_SHARED = 1 * GIB  # for Ray's object store
LEAST_DISK = 2 * GIB  # a run of the presets takes well under a tenth of it


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `warn` slows or limits runs, `fail` prevents them."""

    name: str
    status: Literal["ok", "warn", "fail"]
    detail: str


def doctor() -> list[dict[str, str]]:
    """Check the machine and give one ``{"name", "status", "detail"}`` per check.

    `status` is ``ok``, ``warn`` or ``fail``. A check that raises counts as failed with its message; none
    changes anything but the settings of this process (`runs.environment.prepare`).
    """
    return [asdict(check) for look in CHECKS for check in _guarded(look)]


def _guarded(look: Callable[[], list[Check]]) -> list[Check]:
    try:
        return look()
    except Exception as error:
        name = look.__name__.removeprefix("_").replace("_", " ")
        return [Check(name, "fail", f"{type(error).__name__}: {error}")]


def _settings() -> list[Check]:
    try:
        environment.prepare()
    except RunError as error:
        return [Check("settings", "fail", str(error))]
    import torch

    return [
        Check("MKL_CBWR", "ok", os.environ["MKL_CBWR"]),
        Check(
            "threads", "ok", f"{torch.get_num_threads()} in torch, {os.cpu_count()} processors for workers"
        ),
    ]


def _packages() -> list[Check]:
    try:
        wanted = metadata.requires(DISTRIBUTION) or []
        python = metadata.metadata(DISTRIBUTION)["Requires-Python"]
    except metadata.PackageNotFoundError:
        return [
            Check(
                "packages",
                "warn",
                f"{DISTRIBUTION} is not installed here, so nothing says what it needs; run `make setup`",
            )
        ]
    found = f"python {platform.python_version()}"
    return [
        requirement(f"python{python or ''}", platform.python_version(), found),
        *map(_installed, _core(wanted)),
    ]


def _core(wanted: list[str]) -> list[str]:
    """Drop what only extras or other systems need."""
    from packaging.requirements import Requirement

    markers = [Requirement(text).marker for text in wanted]
    here = [marker is None or marker.evaluate({"extra": ""}) for marker in markers]
    return [text for text, is_needed in zip(wanted, here, strict=True) if is_needed]


def _installed(wanted: str) -> Check:
    from packaging.requirements import Requirement

    name = Requirement(wanted).name
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Check(name, "fail", f"not installed; {wanted} is needed: run `make setup`")
    return requirement(wanted, version, f"{name} {version}")


def requirement(wanted: str, version: str, found: str) -> Check:
    """Compare an installed version with a requirement such as ``"torch>=2.11"``; `found` is the detail."""
    from packaging.requirements import Requirement

    needed = Requirement(wanted)
    if needed.specifier.contains(version, prereleases=True):
        return Check(needed.name, "ok", found)
    return Check(needed.name, "fail", f"{found}, but {wanted} is needed: run `make setup`")


def _processor() -> list[Check]:
    import torch

    return [Check("processor", "ok", f"{environment.processor()}, {torch.backends.cpu.get_cpu_capability()}")]


def _gpu() -> list[Check]:
    import torch

    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return [Check("gpu", "ok", ", ".join(names) or "none: runs use the CPU")]


def _shared_memory() -> list[Check]:
    path = Path("/dev/shm")
    if not path.exists():
        return [Check("shared memory", "ok", "no /dev/shm here; Ray keeps its objects elsewhere")]
    return [
        room("shared memory", shutil.disk_usage(path).total, LEAST_SHARED, "/dev/shm", "Ray will be slow")
    ]


def _disk() -> list[Check]:
    return [
        room(
            "disk",
            shutil.disk_usage(Path.cwd()).free,
            LEAST_DISK,
            "the working directory",
            "runs may not fit",
        )
    ]


def room(name: str, size: int, least: int, where: str, consequence: str) -> Check:
    """Warn where a place has fewer than `least` bytes."""
    if size >= least:
        return Check(name, "ok", f"{size / GIB:.1f} GiB in {where}")
    return Check(
        name, "warn", f"{size / GIB:.2f} GiB in {where}, {least / GIB:.0f} GiB advised: {consequence}"
    )


def _import_ribs() -> list[Check]:
    return [_importable("ribs")]


def _import_ray() -> list[Check]:
    return [_importable("ray")]


def _importable(name: str) -> Check:
    module = import_module(name)
    return Check(f"import {name}", "ok", str(getattr(module, "__version__", "no version")))


def _temporary_directory() -> list[Check]:
    with tempfile.TemporaryFile() as file:
        file.write(b"plasmodia")
    return [Check("temporary directory", "ok", f"{tempfile.gettempdir()} is writable")]


def _arithmetic() -> list[Check]:
    first, second = environment.probe(), environment.probe()
    unequal = [name for name in first if first[name] != second[name]]
    if unequal:
        return [
            Check(
                "arithmetic", "fail", f"{', '.join(unequal)} repeated gave other bits: no run can be replayed"
            )
        ]
    return [Check("arithmetic", "ok", f"{', '.join(first)}: repeated, the same bits")]


CHECKS: tuple[Callable[[], list[Check]], ...] = (
    _settings,
    _packages,
    _processor,
    _gpu,
    _shared_memory,
    _disk,
    _import_ribs,
    _import_ray,
    _temporary_directory,
    _arithmetic,
)
