"""The kernel of an organism by Triton's path, against the definitions."""

import pytest
import torch

from tests.kernels.interpreted import only_interpreted

only_interpreted()

from kernels.kernel import BuiltInKernel, Visible  # noqa: E402

B, C, S, R, W = 1, 2, 5, 3, 4


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_attention_and_ranks_are_those_of_the_reference():
    given = drawn(B, C, S, R), drawn(B, C, S, R, seed=1), drawn(B, C, S, W, seed=2)
    seen = Visible(causal=True, scale=torch.tensor([0.5, 2.0]), window=torch.tensor([2.0, 9.0]))
    fast, defined = BuiltInKernel("triton"), BuiltInKernel("reference")
    torch.testing.assert_close(fast.attention(*given, seen), defined.attention(*given, seen))
    (found, where), (wanted, there) = fast.observed(*given, seen), defined.observed(*given, seen)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(where.span, there.span)
    torch.testing.assert_close(fast.effective_rank(given[0]), defined.effective_rank(given[0]))


def test_what_triton_cannot_do_is_left_to_torch_or_refused():
    fast, x = BuiltInKernel("triton"), drawn(9, R).double()
    torch.testing.assert_close(fast.effective_rank(x), BuiltInKernel("reference").effective_rank(x))
    torch.testing.assert_close(fast.correlation(x), torch.corrcoef(x.T))
    wide = x.view(1, 1, 9, R)
    with pytest.raises(ValueError, match="backend 'triton' takes at most 32 bits a number"):
        fast.attention(wide, wide, wide, Visible())
