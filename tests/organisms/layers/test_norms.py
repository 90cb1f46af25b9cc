import torch
from torch import nn
from torch.nn import functional as F

from organisms.layers.norms import RMSNorm, new_norm
from tests.organisms.layers.definitions import D, drawn


def test_it_is_torchs_and_its_scale_learns():
    norm, x = RMSNorm(D).double(), 3 * drawn(2, 4, D)
    norm.weight.data = drawn(D, seed=1)
    torch.testing.assert_close(norm(x), F.rms_norm(x, (D,), norm.weight, eps=1e-6))
    assert torch.autograd.gradcheck(
        lambda x, weight: torch.func.functional_call(norm, {"weight": weight}, x),
        (x.requires_grad_(), norm.weight),
    )


def test_a_new_one_is_of_the_wanted_kind():
    assert isinstance(new_norm(D, rms=True), RMSNorm)
    assert isinstance(new_norm(D, rms=False), nn.LayerNorm)
