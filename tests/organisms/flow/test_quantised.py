import sys

import pytest
import torch
from torch import nn

from kernels import onednn
from organisms.flow import EnhancedFlowTransformer, FlowNetwork, quantised
from organisms.flow.quantised import GROUP, MATRICES

V, D = 11, 64


def symbols():
    return torch.randint(V, (2, 40), generator=torch.Generator().manual_seed(0))


def network(width=D):
    return FlowNetwork(V, width, 2, 64, num_heads=4, window=8, memory_size=8)


def by_definition(matrix, bits):
    """Whole numbers times a scale for each row, or for each 32 of a row: of the symmetric range, by its largest."""
    rows = matrix.view(-1, GROUP) if bits == 4 and matrix.shape[1] % GROUP == 0 else matrix
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    scale = rows.abs().amax(1, keepdim=True) / ((high - low) / 2)
    return ((rows / scale).round().clamp(low, high) * scale).view_as(matrix)


@pytest.mark.parametrize("width", [D, 40])  # the second is no multiple of a group
@pytest.mark.parametrize("bits", [8, 4])
def test_each_large_matrix_is_rounded_and_nothing_else_is(bits, width):
    pytest.importorskip("torchao")
    model = network(width)
    before = {name: each.clone() for name, each in model.state_dict().items()}
    small = quantised(model, bits)
    found = dict(small.named_parameters())
    for name, each in before.items():
        if name.rpartition(".")[2] in MATRICES:
            step = (each - by_definition(each, bits)).abs().max()
            assert type(found[name].data) is not torch.Tensor
            error = (found[name].dequantize() - each).abs().max()
            assert 0 < error <= 1.1 * step
        else:
            assert torch.equal(small.state_dict()[name], each)
        assert torch.equal(model.state_dict()[name], each)
    assert not any(each.requires_grad for each in found.values())


@pytest.mark.parametrize(("bits", "most"), [(8, 0.15), (4, 0.5)])
@pytest.mark.parametrize("kind", [FlowNetwork, EnhancedFlowTransformer])
def test_logits_are_near_and_the_same_each_time(kind, bits, most):
    pytest.importorskip("torchao")
    model = kind(V, D, 2, 64, num_heads=4, window=8)
    exact, small = model(symbols())[0].detach(), quantised(model, bits)
    found = small(symbols())[0]
    assert 0 < float((found - exact).norm() / exact.norm()) < most
    assert torch.equal(small(symbols())[0], found)


def test_a_product_of_few_bits_is_never_onednns(monkeypatch):
    pytest.importorskip("torchao")
    small = quantised(FlowNetwork(V, 256, 1, 512, num_heads=4, window=8), 8)
    ids = torch.randint(V, (1, 512), generator=torch.Generator().manual_seed(0))
    wanted = small(ids)[0]
    monkeypatch.setattr(onednn, "faster", lambda: True)
    torch.testing.assert_close(small(ids)[0], wanted)


def test_what_cannot_be_quantised_is_refused(monkeypatch):
    for bits in (2, 16):
        with pytest.raises(ValueError, match=f"bits must be 8 or 4, but is {bits}"):
            quantised(network(), bits)
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    with pytest.raises(
        ModuleNotFoundError,
        match=r"^quantised needs torchao, which is not installed: pip install 'plasmodia\[quantise\]'$",
    ):
        quantised(network(), 8)


def test_a_model_of_other_layers_is_refused():
    pytest.importorskip("torchao")
    with pytest.raises(ValueError, match="model must hold layers of FlowNetwork, but a Linear has no"):
        quantised(nn.Linear(3, 3), 8)
