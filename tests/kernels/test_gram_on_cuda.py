import pytest
import torch

from kernels.correlation import correlation
from kernels.effective_rank import effective_rank
from tests.kernels.interpreted import needs_triton

pytestmark = [
    needs_triton,
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
SHAPES = [(2, 1), (63, 100), (33, 130), (2, 3, 7, 65), (4096, 1000)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", SHAPES)
def test_triton_is_chosen_by_itself_and_its_result_is_the_reference_symmetric_and_repeatable(shape, dtype):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype).cuda()
    single = {"dtype": torch.float32}
    rounding = max(1e-5, torch.finfo(dtype).eps)
    for kind in ("correlation", "gram"):
        exact = correlation(x.double(), kind=kind, backend="reference")
        first, *repeats = (correlation(x, kind=kind, **single) for _ in range(50))
        assert torch.equal(first, correlation(x, kind=kind, backend="triton", **single))
        assert torch.equal(first, first.mT)
        assert all(torch.equal(first, again) for again in repeats)
        assert (first.double() - exact).abs().max() <= rounding * (1 + exact.abs().max())
    rank = effective_rank(x.double(), backend="reference")
    torch.testing.assert_close(effective_rank(x).double(), rank, rtol=rounding, atol=0)


@pytest.mark.parametrize("kind", ["correlation", "gram"])
def test_gradients_are_those_of_the_reference(kind):
    x = torch.randn(63, 100, generator=torch.Generator().manual_seed(0)).cuda().requires_grad_()
    exact = x.detach().double().requires_grad_()
    found = correlation(x, kind=kind, dtype=torch.float32, backend="triton")
    expected = correlation(exact, kind=kind, backend="reference")
    (gradient,) = torch.autograd.grad(found.square().sum(), x)
    (wanted,) = torch.autograd.grad(expected.square().sum(), exact)
    assert (gradient.double() - wanted).abs().max() <= 1e-5 * (1 + wanted.abs().max())
