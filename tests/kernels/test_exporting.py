import torch
from torch import nn
from torch.export import Dim

from kernels.attention import attention
from kernels.exporting import exporting
from kernels.linear import linear

RECORDED = []


class Layer(nn.Module):
    """A product and attention of any number of sequences of any length."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(24, 8, generator=torch.Generator().manual_seed(0)))

    def forward(self, x):
        RECORDED.append(exporting())
        q, k, v = (each.unflatten(-1, (2, 4)).transpose(1, 2) for each in linear(x, self.weight).chunk(3, -1))
        window = torch.tensor([2.0, 5.0])
        return attention(q, k, v, causal=True, window=window).output


def test_a_program_is_recorded_once_and_computes_the_same_for_all_sizes():
    layer = Layer()
    sizes = {0: Dim.DYNAMIC, 1: Dim.DYNAMIC}
    program = torch.export.export(layer, (torch.randn(3, 6, 8),), dynamic_shapes=(sizes,), strict=False)
    assert RECORDED.pop()
    for batch, length in ((1, 6), (5, 2), (2, 40)):
        x = torch.randn(batch, length, 8)
        with torch.no_grad():
            assert torch.allclose(program.module()(x), layer(x), rtol=0, atol=1e-6)
            assert not RECORDED.pop()
