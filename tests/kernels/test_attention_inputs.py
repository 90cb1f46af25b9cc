"""What is refused or noticed, and what other libraries are told."""

import sys
import types

import pytest
import torch

from kernels import backends
from kernels.attention import arguments, attention, blockwise, flash
from tests.kernels.attention_cases import drawn, seeing, with_gradients


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"q": torch.zeros(2, 2, 5, 3, dtype=torch.int64)},
            r"q must have one of the dtypes .*has torch.int64",
        ),
        (
            {"q": torch.zeros(2, 5, 3)},
            r"q must have a shape \[B, H, S, R\] without zeros, but has \[2, 5, 3\]",
        ),
        ({"q": torch.zeros(2, 2, 0, 3)}, "without zeros"),
        ({"k": torch.zeros(2, 2, 6, 3)}, r"k must have the shape \[2, 2, 5, 3\] .*has \[2, 2, 6, 3\]"),
        ({"v": torch.zeros(2, 3, 5, 3)}, r"v must have the shape \[2, 2, 5, any\] .*has \[2, 3, 5, 3\]"),
        ({"v": torch.zeros(2, 2, 5, 0)}, "v must have a width of at least 1"),
        (
            {"v": torch.zeros(2, 2, 5, 4).half()},
            "v must have the dtype of q, torch.float32, but has torch.float16",
        ),
        ({"k": torch.zeros(2, 2, 5, 3, device="meta")}, "k must be on the device of q, cpu, but is on meta"),
        ({"scale": torch.ones(3)}, r"scale must have the shape \[2\]"),
        ({"scale": torch.ones(2, requires_grad=True)}, "scale requires a gradient"),
        ({"window": torch.ones(1)}, r"window must have the shape \[2\]"),
        ({"key_mask": torch.ones(2, 4).bool()}, r"key_mask must have the shape \[2, 5\]"),
        ({"key_mask": torch.ones(2, 5)}, "key_mask must have dtype torch.bool, but has torch.float32"),
        ({"positions": torch.ones(5)}, r"positions must have the shape \[5, any\]"),
        ({"positions": torch.ones(5, 4)}, "positions must have 1 to 3 coordinates, but has 4"),
        ({"backend": "cuda"}, "backend is 'cuda', but must be one of auto, reference, torch, triton"),
    ],
)
def test_what_does_not_belong_together_is_refused(change, message):
    q, k, v = drawn(dtype=torch.float32)
    given = {"q": q, "k": k, "v": v} | change
    with pytest.raises(ValueError, match=message):
        attention(given.pop("q"), given.pop("k"), given.pop("v"), **given)


def test_a_matrix_that_no_memory_holds_is_refused():
    x = torch.zeros(1, 1, 1, 1).expand(1, 1, 100_000, 1)
    with pytest.raises(ValueError, match=r"q asks for a result of shape \[1, 1, 100000, 100000\]"):
        attention(x, x, x, backend="reference")


def test_the_triton_kernels_are_told_what_they_expect(monkeypatch):
    """A stand-in for the kernels checks what it is told and answers by the torch path."""
    heard = {}

    def visibility(scale, causal, window, key_mask, positions):
        assert window.dtype == scale.dtype == positions.dtype == torch.float32
        assert key_mask.dtype == torch.uint8
        assert all(each.is_contiguous() for each in (scale, window, key_mask, positions))
        heard["positions"] = positions
        return arguments.Visibility(scale, causal, window, key_mask.bool(), positions)

    def forward(q, k, v, scale, causal, window, key_mask, positions, statistics):
        return blockwise.forward(q, k, v, visibility(scale, causal, window, key_mask, positions), statistics)

    def backward(grad_output, q, k, v, output, lse, *told):
        return blockwise.backward(grad_output, q, k, v, output, lse, visibility(*told))

    for name, function in (("forward", forward), ("backward", backward)):
        module = types.ModuleType(f"kernels.attention.triton.{name}")
        setattr(module, name, function)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(backends, "_on_triton", lambda argument, tensor: None)
    tensors = drawn(dtype=torch.float32)
    options = seeing("causal window", 2, 2, 5, torch.float64) | {
        "key_mask": torch.rand(5, 2).T < 0.9,
        "scale": 0.5,
    }
    change = torch.ones_like(tensors[2])
    found, gradients = with_gradients(tensors, change, **options, backend="triton")
    wanted, others = with_gradients(tensors, change, **options, backend="torch")
    assert torch.equal(heard["positions"], torch.arange(5.0)[:, None])
    for one, other in zip(
        (found.output, found.lse, *gradients), (wanted.output, wanted.lse, *others), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_torch_still_has_the_private_operations():
    assert flash.AVAILABLE


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scale", torch.ones(2)),
        ("window", torch.full((2,), 9.0)),
        ("key_mask", torch.ones(2, 40, dtype=torch.bool)),
        ("positions", torch.rand(40, 1)),
    ],
)
def test_what_changes_between_forward_and_backward_is_noticed(name, value):
    tensors = [tensor.requires_grad_() for tensor in drawn(S=40, dtype=torch.float32)]
    found = attention(*tensors, **{name: value})
    value.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        found.output.sum().backward()


@pytest.mark.parametrize("statistics", [True, False])
def test_a_second_derivative_is_refused_or_right(statistics):
    tensors = [tensor.requires_grad_() for tensor in drawn(S=40)]
    (first,) = torch.autograd.grad(
        attention(*tensors, statistics=statistics).output.sum(), tensors[0], create_graph=True
    )
    with pytest.raises(RuntimeError, match="cannot be differentiated again; pass backend='reference'"):
        first.square().sum().backward()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"q": None}, "q must be a dense torch.Tensor, but is a NoneType"),
        ({"k": [1.0]}, "k must be a dense torch.Tensor, but is a list"),
        ({"window": 3}, "window must be a dense torch.Tensor, but is a int"),
        ({"scale": "x"}, "scale must be a dense torch.Tensor, but is a str"),
        ({"scale": torch.ones(2, dtype=torch.complex64)}, "scale must hold real numbers, but its dtype is"),
        ({"window": torch.ones(2, dtype=torch.bool)}, "window must hold real numbers"),
        ({"window": torch.ones(2, requires_grad=True)}, "window requires a gradient, .* detach it"),
        ({"v": torch.zeros(1).expand(2, 2, 5, 2**30)}, "v asks for a result of shape"),
    ],
)
def test_what_is_no_tensor_or_too_large_is_one_sentence(change, message):
    q, k, v = drawn(dtype=torch.float32)
    given = {"q": q, "k": k, "v": v} | change
    with pytest.raises(ValueError, match=message):
        attention(given.pop("q"), given.pop("k"), given.pop("v"), **given)
