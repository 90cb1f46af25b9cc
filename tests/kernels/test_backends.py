"""Which path serves a tensor, and that every operation refuses Triton where it cannot work."""

import inspect

import pytest
import torch

from kernels import backends
from kernels.attention import attention
from kernels.correlation import correlation
from kernels.effective_rank import effective_rank
from kernels.grouped_gemm import grouped_gemm
from tests.kernels.interpreted import needs_triton

OPERATIONS = {
    "attention": lambda x: attention(x[None, None], x[None, None], x[None, None], backend="triton"),
    "correlation": lambda x: correlation(x, dtype=torch.float32, backend="triton"),
    "gram": lambda x: correlation(x, kind="gram", dtype=torch.float32, backend="triton"),
    "effective rank": lambda x: effective_rank(x, backend="triton"),
    "grouped_gemm": lambda x: grouped_gemm(x, x.mT[None], torch.tensor([3]), backend="triton"),
}
every_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)


@every_operation
def test_without_triton_its_backend_is_refused(operation, monkeypatch):
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="backend 'triton' needs the package triton, which is not installed"):
        operation(torch.ones(3, 2))


@needs_triton
@every_operation
def test_float64_is_refused_by_triton(operation):
    with pytest.raises(
        ValueError, match=r"[qx] is torch.float64, but backend 'triton' takes at most 32 bits"
    ):
        operation(torch.ones(3, 2, dtype=torch.float64))


@needs_triton
@every_operation
def test_tensors_of_the_cpu_are_refused_by_triton_unless_it_interprets(operation, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(
        ValueError, match=r"[qx] is on cpu, but backend 'triton' needs a CUDA device, or TRITON_"
    ):
        operation(torch.ones(3, 2))


class OnCuda:
    """As much of a tensor on a GPU as the door looks at."""

    is_cuda = True

    def __init__(self, dtype):
        self.dtype = dtype


@pytest.mark.parametrize(
    ("dtype", "installed", "served", "wanted"),
    [
        (torch.float32, True, True, "triton"),
        (torch.bfloat16, True, True, "triton"),
        (torch.float64, True, True, "torch"),
        (torch.float32, False, True, "torch"),
        (torch.float32, True, False, "torch"),
    ],
)
def test_by_itself_a_tensor_on_a_gpu_takes_triton_where_that_can_serve_it(
    dtype, installed, served, wanted, monkeypatch
):
    monkeypatch.setattr(backends, "find_spec", lambda name: name if installed else None)
    assert inspect.unwrap(backends.path)("auto", "x", OnCuda(dtype), triton=served) == wanted


def test_by_itself_a_tensor_of_the_cpu_takes_torch():
    assert backends.path("auto", "x", torch.ones(2)) == "torch"
