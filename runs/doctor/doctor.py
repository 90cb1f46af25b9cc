"""The doctor: checks, one thing at a time, that this machine has what runs need and is safe to run them on."""

import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from runs.doctor import exposure
from runs.doctor.check import Check
from runs.errors import RunError
from runs.machine import fingerprint, settings
from runs.machine.source_digest import sources

DISTRIBUTION = "plasmodia"
GIB = 2**30
LEAST_SHARED = 1 * GIB  # for Ray's object store
LEAST_DISK = 2 * GIB  # a run of the presets takes well under a tenth of it


def doctor() -> list[dict[str, str]]:
    """Check the machine and return one ``{"name", "status", "detail"}`` per check.

    `status` is ``ok``, ``warn`` or ``fail``. A check that raises counts as failed with its message; none
    changes anything but the settings of this process (`runs.machine.settings.prepare`), and what is started or
    written to look at it is stopped and removed again.
    """
    return [asdict(check) for look in CHECKS for check in _guarded(look)]


def _guarded(look: Callable[[], list[Check]]) -> list[Check]:
    try:
        return look()
    except Exception as error:
        name = look.__name__.removeprefix("_").replace("_", " ")
        return [Check(name, "fail", f"{type(error).__name__}: {error}")]


def _settings() -> list[Check]:
    found = os.environ.get("MKL_CBWR")
    try:
        settings.prepare()
    except RunError as error:
        return [Check("MKL_CBWR", "fail", str(error))]
    import threadpoolctl  # type: ignore[import-untyped]
    import torch

    return [
        mkl(found),
        threads(torch.get_num_threads(), threadpoolctl.threadpool_info()),
        algorithms(torch.are_deterministic_algorithms_enabled()),
    ]


def mkl(found: str | None) -> Check:
    """Judge the mode of MKL that this process was started with; runs set it if it is unset."""
    wanted = settings.VARIABLES["MKL_CBWR"]
    if found in (None, wanted):
        return Check("MKL_CBWR", "ok", wanted)
    return Check(
        "MKL_CBWR",
        "fail",
        f"set to {found!r} outside, but runs on this processor need {wanted!r}: what imports torch first "
        "computes other bits; unset it",
    )


def threads(in_torch: int, libraries: Sequence[Mapping[str, Any]]) -> Check:
    """Judge the threads of torch and of each library that `threadpoolctl.threadpool_info` knows."""
    counts = {"torch": in_torch}
    for library in libraries:
        name = library["internal_api"]
        counts[name] = max(counts.get(name, 0), library["num_threads"])
    said = ", ".join(f"{count} in {name}" for name, count in counts.items())
    if any(count != 1 for count in counts.values()):
        return Check("threads", "fail", f"{said}: sums change with their number; runs need 1 in each")
    return Check("threads", "ok", f"{said}; {os.cpu_count()} processors for workers")


def algorithms(are_deterministic: bool) -> Check:
    """Judge whether torch uses deterministic algorithms."""
    if are_deterministic:
        return Check("algorithms", "ok", "deterministic in torch")
    return Check(
        "algorithms", "fail", "torch.use_deterministic_algorithms is off: something turns it off again"
    )


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
    """Compare an installed version with a requirement.

    Parameters
    ----------
    wanted
        The requirement, such as ``"torch>=2.11"``.
    version
        The installed version, such as ``"2.13.0+cpu"``.
    found
        What the detail says of it, such as ``"torch 2.13.0"``.
    """
    from packaging.requirements import Requirement

    needed = Requirement(wanted)
    if needed.specifier.contains(version, prereleases=True):
        return Check(needed.name, "ok", found)
    return Check(needed.name, "fail", f"{found}, but {wanted} is needed: run `make setup`")


def _processor() -> list[Check]:
    import torch

    found = f"{fingerprint.processor()}, {torch.backends.cpu.get_cpu_capability()}"
    return [capability(found, os.environ.get("ATEN_CPU_CAPABILITY"))]


def capability(found: str, limit: str | None) -> Check:
    """Warn where torch was told to use less of the processor than there is."""
    if limit is None:
        return Check("processor", "ok", found)
    return Check(
        "processor",
        "warn",
        f"{found}, limited by ATEN_CPU_CAPABILITY={limit}: workers without it are refused, or unset it",
    )


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
    """Warn where a place has too little space.

    Parameters
    ----------
    name
        Of the check.
    size
        Bytes that there are.
    least
        Bytes that there should be.
    where
        What the detail calls the place.
    consequence
        What happens with less, such as ``"runs may not fit"``.
    """
    if size >= least:
        return Check(name, "ok", f"{size / GIB:.1f} GiB in {where}")
    return Check(
        name, "warn", f"{size / GIB:.2f} GiB in {where}, {least / GIB:.0f} GiB advised: {consequence}"
    )


def _import_ribs() -> list[Check]:
    return [_importable("ribs")]


def _importable(name: str) -> Check:
    module = import_module(name)
    return Check(f"import {name}", "ok", str(getattr(module, "__version__", "no version")))


def _run_directories() -> list[Check]:
    return [exposure.run_directories(Path("out") if Path("out").exists() else Path.cwd())]


def _temporary_directory() -> list[Check]:
    return [exposure.temporary_directory(Path(tempfile.gettempdir()))]


def _source() -> list[Check]:
    return [exposure.source(sources())]


def _arithmetic() -> list[Check]:
    first, second = fingerprint.probe(), fingerprint.probe()
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
    _arithmetic,
    _run_directories,
    _temporary_directory,
    _source,
    exposure.ray,
)
