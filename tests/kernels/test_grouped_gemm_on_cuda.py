"""What only a GPU can show of the grouped product: bfloat16, and many programs at once."""

import os
from functools import partial

import pytest
import torch

from kernels.grouped_gemm import grouped_gemm
from tests.kernels.grouped_cases import (
    CASES,
    assert_as_exact_as_plain_torch,
    assert_repeatable,
    drawn,
    errors,
    exact,
    results,
)
from tests.kernels.interpreted import SWITCH, needs_triton

pytestmark = [
    pytest.mark.cuda,
    needs_triton,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.skipif(os.environ.get(SWITCH) == "1", reason="Triton interprets in this process"),
]
LARGE = ((1000, 0, 3, 2000, 64, 63, 1), 200, 136)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("case", [*CASES.values(), LARGE], ids=[*CASES, "large"])
def test_product_and_gradients_err_at_most_twice_as_much_as_plain_torch(case, dtype, monkeypatch):
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    assert_as_exact_as_plain_torch(partial(grouped_gemm, backend="triton"), *drawn(*case, dtype, "cuda"))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_fifty_repeats_give_the_same_bits(dtype):
    assert_repeatable(grouped_gemm, *drawn(*LARGE, dtype, "cuda"), repeats=50)


def test_auto_is_triton_but_for_float64():
    inputs = drawn(*CASES["several tiles"], torch.float32, "cuda")
    by_auto, by_triton = (results(grouped_gemm, *inputs, backend=path) for path in ("auto", "triton"))
    assert all(torch.equal(a, b) for a, b in zip(by_auto, by_triton, strict=True))
    double = drawn(*CASES["several tiles"], torch.float64, "cuda")
    assert max(errors(results(grouped_gemm, *double), exact(*double))) < 1e-12
