"""The fingerprint: everything outside the configuration that a run's bits depend on.

Equal configurations give equal bits where the fingerprints are equal: same source, same libraries, same
processor, same settings, and the same results of a few operations. Every worker's must match the run's.
"""

import importlib.metadata
import math
import os
import platform
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from runs.errors import RunError
from runs.machine.settings import PROCESSOR, VARIABLES
from runs.machine.source_digest import PACKAGES, source_digests

LIBRARIES = ("torch", "numpy", "scipy", "scikit-learn", "ribs", "factor-analyzer", "safetensors", "ray")
_ABSENT = "nothing"
_PROBE_SIZES = (63, 48)  # rows and columns; the odd one leaves vector loops a remainder


def fingerprint(user_modules: Iterable[str] = (), device: str = "cpu") -> dict[str, Any]:
    """Describe everything outside the configuration that a run's bits depend on, as JSON values.

    Parameters
    ----------
    user_modules
        Modules of the user's own task, organism or measures, such as ``"package.module"``.
    device
        ``"cpu"`` or ``"cuda"``. The graphics processor counts only for a run that uses it, so that a
        worker with one may serve a run without.

    Returns
    -------
    dict
        ``source``, ``user``, ``python``, ``platform``, ``libraries``, ``processor``, ``settings``,
        ``probe``, and ``gpu`` on CUDA. No host name, path or time is in it.

    Raises
    ------
    RunError
        If a source cannot be found, or `device` is ``"cuda"`` and there is none.
    """
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise RunError(
            "the run asks for device 'cuda', but torch sees no CUDA device here; set execution.device=cpu"
        )
    described = {
        "source": source_digests(PACKAGES),
        "user": source_digests(user_modules),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": {
            "system": platform.system(),
            "machine": platform.machine(),
            "libc": " ".join(platform.libc_ver()),
        },
        "libraries": libraries(),
        "processor": {"model": processor(), "capability": torch.backends.cpu.get_cpu_capability()},
        "settings": {name: os.environ.get(name) for name in VARIABLES} | _torch_settings(),
        "probe": probe(device),
    }
    return described | ({"gpu": _gpu()} if device == "cuda" else {})


def libraries() -> dict[str, str | None]:
    """Return the installed versions of the `LIBRARIES` (None: not installed) and a digest of torch's build."""
    import torch

    from qd.canonical import sha256

    found = {name: _version(name) for name in LIBRARIES}
    return found | {"torch build": sha256(torch.__config__.show().encode("utf-8"))}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def processor() -> str:
    """Return the model of the CPU, as the system calls it."""
    arm = " ".join(PROCESSOR[key] for key in ("CPU implementer", "CPU part") if key in PROCESSOR)
    return PROCESSOR.get("model name") or arm or platform.processor() or platform.machine()


def _torch_settings() -> dict[str, Any]:
    import torch

    from kernels import onednn

    return {
        "products by oneDNN": onednn.faster(),
        "torch threads": torch.get_num_threads(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "float32 precision": torch.get_float32_matmul_precision(),
    }


def _gpu() -> dict[str, Any]:
    import torch

    return {
        "model": torch.cuda.get_device_name(0),
        "capability": list(torch.cuda.get_device_capability(0)),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def probe(device: str = "cpu") -> dict[str, str]:
    """Hash the results of a few operations whose last bits tell machines apart.

    torch's matmul, singular values and vectors, softmax and exp in float32 on `device`, and NumPy's
    matmul, exp and log and the C library's exp, log, cos and pow in float64, each of the same named normal draws;
    SHA-256 of the results' bytes.
    """
    import numpy as np
    import torch

    from qd.canonical import sha256
    from qd.seeding import generator

    draws = generator(0, 0, "probe").standard_normal(_PROBE_SIZES)
    x = torch.from_numpy(draws.astype(np.float32)).to(device)
    svd = torch.linalg.svd(x, full_matrices=False)
    results = {
        "matmul": x @ x.T,
        "svd": torch.cat([part.flatten() for part in svd]),
        "softmax": torch.softmax(x, dim=-1),
        "exp": torch.exp(x),
    }
    digests = {name: sha256(result.cpu().numpy().tobytes()) for name, result in results.items()}
    in_numpy = np.concatenate(
        [part.ravel() for part in (draws @ draws.T, np.exp(draws), np.log(np.abs(draws)))]
    )
    functions = (math.exp, lambda x: math.log(abs(x)), math.cos, lambda x: abs(x) ** 0.3)
    in_c = np.array([function(x) for function in functions for x in draws.ravel().tolist()])
    return digests | {"numpy": sha256(in_numpy.tobytes()), "libm": sha256(in_c.tobytes())}


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[str, ...]:
    """Return where two fingerprints differ, in the order of their keys.

    There is one text for each difference, with the dotted key and both values: ``"libraries.numpy: 2.4.6 against
    2.3.1"``; digests are cut to 12 digits. Without a text they are equal, but for sections that are empty.
    """
    left, right = _flat(first), _flat(second)
    keys = sorted(left.keys() | right.keys())
    values = [(key, left.get(key, _ABSENT), right.get(key, _ABSENT)) for key in keys]
    return tuple(
        f"{key}: {_short(one)} against {_short(other)}" for key, one, other in values if one != other
    )


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= _flat(item, f"{prefix}{key}.") if isinstance(item, Mapping) else {f"{prefix}{key}": item}
    return flat


def _short(value: Any) -> str:
    text = str(value)
    return text[:12] if re.fullmatch("[0-9a-f]{64}", text) else text


def revision() -> str | None:
    """Return the git revision of this source, with ``+`` if it was changed since, or None outside git."""
    here = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip() or None
