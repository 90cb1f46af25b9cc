"""Settings that make this process's arithmetic repeatable: environment variables, threads, torch's modes, memory."""

import ctypes
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from runs.errors import RunError

_ONEDNN = "PLASMODIA_ONEDNN"  # 0 keeps kernels.linear and kernels.grouped_gemm from using oneDNN
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # what glibc's malloc.h calls M_TRIM_THRESHOLD and M_MMAP_THRESHOLD


def _first_processor() -> dict[str, str]:
    """Read Linux's description of the first CPU; empty elsewhere."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return {}
    first = path.read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


PROCESSOR = _first_processor()


def variables(flags: str) -> dict[str, str]:
    """Return the environment variables for a processor with these flags, such as ``"sse2 avx2 fma"``.

    One thread for each library, because sums change with their number; Intel's MKL in a reproducible
    mode, strict where it can be, because its sums else change with the alignment of memory; oneDNN with
    all of the processor and all bits of float32, whatever is set outside; cuBLAS with a workspace of fixed size;
    Inductor deterministic, should a user's code compile something.
    """
    return {
        "MKL_CBWR": "AVX2,STRICT" if "avx2" in flags.split() else "COMPATIBLE",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "ONEDNN_MAX_CPU_ISA": "DEFAULT",
        "ONEDNN_DEFAULT_FPMATH_MODE": "STRICT",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "TORCHINDUCTOR_DETERMINISTIC": "1",
    }


# What must be set before torch and NumPy load, in every process of a run. The user's choice is among them, so
# that all workers make it and the fingerprint says it: with or without oneDNN, last bits differ.
VARIABLES: Mapping[str, str] = MappingProxyType(
    variables(PROCESSOR.get("flags", "")) | {_ONEDNN: os.environ.get(_ONEDNN, "1")}
)


def prepare() -> None:
    """Make this process compute the same bits each time; call it before torch is imported.

    Sets `VARIABLES`, then one thread in torch and in each BLAS, deterministic algorithms, and full fp32
    (no TF32) on CUDA. Memory that tensors free is kept for the next ones. Calling it again changes nothing.

    Raises
    ------
    RunError
        If torch is loaded already and MKL_CBWR had another value then: MKL reads it only once; if
        PLASMODIA_ONEDNN is neither 0 nor 1.
    """
    if VARIABLES[_ONEDNN] not in ("0", "1"):
        raise RunError(
            f"the environment variable {_ONEDNN} is {VARIABLES[_ONEDNN]!r}, but must be 0 or 1; 0 switches oneDNN off"
        )
    found, wanted = os.environ.get("MKL_CBWR"), VARIABLES["MKL_CBWR"]
    if "torch" in sys.modules and found != wanted:
        raise RunError(
            f"torch was loaded with MKL_CBWR {'unset' if found is None else repr(found)}, but runs on this "
            f"processor need {wanted!r}; call runs.machine.settings.prepare() before importing torch"
        )
    os.environ.update(VARIABLES)
    _keep_memory()
    import threadpoolctl  # type: ignore[import-untyped]
    import torch

    threadpoolctl.threadpool_limits(limits=1)  # a BLAS that was loaded before reads no variables any more
    torch.set_num_threads(1)
    # As use_deterministic_algorithms(True) does, but without loading Inductor, which takes as long as torch itself.
    torch.set_deterministic_debug_mode("error")
    # Nothing here reads memory before it is written, and filling it costs a tenth of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False


def _keep_memory() -> None:
    """Let glibc keep up to 1 GiB of what is freed; elsewhere nothing happens.

    As it comes, it gives memory back to the system after a training step and gets it again for the next, page by
    page and filled with zeros. How much is up to chance: up to 1,000 pages at 12 pseudopods on digits and 6,000 at
    32, for which steps take up to 1.2 and 1.4 times as long. Bits are the same, the peak of memory a few per cent more.
    """
    tune = getattr(ctypes.CDLL(None), "mallopt", None)
    if tune is not None:
        tune(_MMAP_THRESHOLD, 2**25)  # 32 MiB, the most that every version takes
        tune(_TRIM_THRESHOLD, 2**30)
