"""The Triton path on a CUDA device, or by Triton's interpreter, which must be chosen before Triton is imported.

Without either, one test runs this file again in a process with the interpreter.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from kernels.grouped_gemm import grouped_gemm
from tests.kernels.grouped_cases import CASES, assert_a_nan_stays_in_its_group, drawn, errors, exact, results

pytest.importorskip("triton")

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
RUNS = DEVICE == "cuda" or os.environ.get("TRITON_INTERPRET") == "1"
needs_triton = pytest.mark.skipif(not RUNS, reason="needs a CUDA device or TRITON_INTERPRET=1")
cuda = (pytest.mark.cuda, pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA device"))
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
# The interpreter computes bfloat16 wrongly.
every_dtype = pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float16, pytest.param(torch.bfloat16, marks=cuda)]
)


@pytest.mark.skipif(RUNS, reason="this process runs the kernels itself")
def test_the_kernels_hold_in_the_interpreter():
    again = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", __file__],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert again.returncode == 0, again.stdout + again.stderr
    assert " passed" in again.stdout


@needs_triton
@every_dtype
@every_case
def test_product_and_gradients_err_at_most_twice_as_much_as_plain_torch(case, dtype, monkeypatch):
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    inputs = drawn(*case, dtype, DEVICE)
    wanted = exact(*inputs)
    found = results(grouped_gemm, *inputs, backend="triton")
    plain = errors(results(grouped_gemm, *inputs, backend="reference"), wanted)
    assert all(each.dtype == dtype for each in found)
    # Few sums of few numbers can all be right to the last bit in one order; in another they need not be.
    last_bit = [torch.finfo(dtype).eps * float(w.abs().max()) if w.numel() else 0.0 for w in wanted]
    assert all(f <= 2 * p + b for f, p, b in zip(errors(found, wanted), plain, last_bit, strict=True))


@needs_triton
def test_any_strides_are_multiplied_as_they_are():
    x, weights, offsets, grad = drawn(*CASES["empty groups"], torch.float32, DEVICE)
    wanted = exact(x, weights, offsets, grad)
    wide = torch.stack([offsets, -offsets], 1)[:, 0]
    found = results(
        grouped_gemm,
        x.mT.contiguous().mT,
        weights.mT.contiguous().mT,
        wide,
        grad.mT.contiguous().mT,
        backend="triton",
    )
    assert max(errors(found, wanted)) < 2e-5
    ones = torch.ones(1, 1, device=DEVICE).expand_as(grad)
    found = results(grouped_gemm, x, weights, offsets, ones, backend="triton")
    assert max(errors(found, exact(x, weights, offsets, ones))) < 2e-5


@needs_triton
def test_a_nan_stays_in_its_group():
    inputs = drawn(*CASES["uneven"], torch.float32, DEVICE)
    assert_a_nan_stays_in_its_group(grouped_gemm, *inputs, backend="triton")


@needs_triton
def test_repeats_give_the_same_bits():
    """Fifty on a GPU; the interpreter runs one program after another, and slowly."""
    inputs = drawn((3, 0, 40), 33, 5, torch.float32, DEVICE)
    first = results(grouped_gemm, *inputs, backend="triton")
    for _ in range(49 if DEVICE == "cuda" else 4):
        again = results(grouped_gemm, *inputs, backend="triton")
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


@needs_triton
def test_the_gradient_of_a_gradient_is_that_of_plain_torch():
    x, weights, offsets, grad = drawn(*CASES["uneven"], torch.float32, DEVICE)

    def of_squares(backend):
        inputs = [tensor.clone().requires_grad_() for tensor in (x, weights, grad)]
        y = grouped_gemm(*inputs[:2], offsets, backend=backend)
        first = torch.autograd.grad(y, inputs[:2], inputs[2], create_graph=True)
        return torch.autograd.grad(sum(each.square().sum() for each in first), inputs)

    torch.testing.assert_close(of_squares("triton"), of_squares("reference"), rtol=1e-4, atol=1e-4)


@needs_triton
@pytest.mark.parametrize("ends", [(3, 2, 9), (-4, 2, 400), (9, 9, -1)])
def test_wrong_offsets_never_reach_outside_the_tensors(ends, monkeypatch):
    """By the kernels themselves: the door of CPU tensors would refuse them."""
    from kernels.grouped_gemm.triton_products import PRODUCTS

    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    x, weights, _, grad = drawn((3, 3, 3), 4, 5, torch.float32, DEVICE)
    offsets = torch.tensor(ends, device=DEVICE)
    x_in, grad_in = (surrounded_by_nan(tensor) for tensor in (x, grad))
    assert PRODUCTS.outer(x_in, grad_in, offsets).isfinite().all()
    y = PRODUCTS.rows(x_in, weights, offsets)
    distances = (x @ weights - y).abs().amax(-1).amin(0)  # of each row from its product with any matrix
    assert (y.isnan().all(1) | (distances < 1e-5)).all()


def surrounded_by_nan(tensor):
    wide = torch.full((500, tensor.shape[1]), torch.nan, device=tensor.device)
    rows = wide[50 : 50 + len(tensor)]
    rows.copy_(tensor)
    return rows


@needs_triton
@pytest.mark.cuda
@pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA device")
def test_on_a_gpu_auto_is_triton_and_float64_is_torch():
    inputs = drawn(*CASES["several tiles"], torch.float32, DEVICE)
    by_auto, by_triton = (results(grouped_gemm, *inputs, backend=path) for path in ("auto", "triton"))
    assert all(torch.equal(a, b) for a, b in zip(by_auto, by_triton, strict=True))
    double = drawn(*CASES["several tiles"], torch.float64, DEVICE)
    assert max(errors(results(grouped_gemm, *double), exact(*double))) < 1e-12
