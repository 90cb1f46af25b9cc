"""A copy of a flow model whose large matrices are held in 8 or 4 bits, for inference."""

import copy
import importlib
from typing import Any, TypeVar

import torch
from torch import nn

from organisms.flow.whole_numbers import safe_tensor_to_int

GROUP = 32  # weights that share a scale where they have 4 bits; with 8 bits a row does
MATRICES = frozenset({"query", "read", "write", "values", "W1", "W2", "head"})

Model = TypeVar("Model", bound=nn.Module)


def quantised(model: Model, bits: int) -> Model:
    """Return a copy for inference whose matrices of attention, memory, values, feed-forward and head have few bits.

    With 8 bits w = s n, n whole in [-128, 127] and s one scale for each row; with 4 bits n is in [-8, 7] and there is a
    scale for each 32 weights of a row (of another width than a multiple of 32: for a row). Products are computed in the
    dtype of the model, from weights that are unfolded when they are used: the copy takes less memory, and no less time.
    A number of 4 bits is stored in 8, as torchao has packed ones for GPUs alone. Embeddings, patterns and what chooses
    patterns and positions stay as they are, as choices magnify small errors.

    By torchao (`quantize_`), the extra ``quantise``.

    Parameters
    ----------
    model
        A `FlowNetwork`, or any model of this library's layers; it is left as it is.
    bits
        8 or 4.

    Raises
    ------
    ValueError
        If `bits` is another number, or the model has no matrix to quantise.
    ModuleNotFoundError
        If torchao is not installed; the message has the command that does it.
    """
    if safe_tensor_to_int(bits, "bits") not in (8, 4):
        raise ValueError(f"bits must be 8 or 4, but is {bits}")
    torchao = _torchao()
    model = copy.deepcopy(model).eval().requires_grad_(False)
    matrices = [
        (part, name, matrix)
        for part in model.modules()
        for name, matrix in part.named_parameters(recurse=False)
        if name in MATRICES
    ]
    if not matrices:
        raise ValueError(
            f"model must hold layers of FlowNetwork, but a {type(model).__name__} has no matrix of theirs"
        )
    for part, name, matrix in matrices:
        setattr(part, name, _folded(torchao, matrix, int(bits)))
    return model


def _folded(torchao: Any, matrix: nn.Parameter, bits: int) -> nn.Parameter:
    rows, columns = matrix.shape
    # torchao looks for layers of torch: one holds the matrix for as long as that takes.
    layer = nn.Linear(columns, rows, bias=False, device="meta")
    layer.weight = nn.Parameter(matrix.detach(), requires_grad=False)
    if bits == 8:
        config = torchao.Int8WeightOnlyConfig()
    else:
        whole = columns % GROUP != 0
        granularity = torchao.PerAxis(0) if whole else torchao.PerGroup(GROUP)
        dtype = torch.int4  # type: ignore[attr-defined] # torch's stubs do not name it
        config = torchao.IntxWeightOnlyConfig(weight_dtype=dtype, granularity=granularity)
    torchao.quantize_(layer, config)
    return layer.weight


def _torchao() -> Any:
    try:
        return importlib.import_module("torchao.quantization")
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "quantised needs torchao, which is not installed: pip install 'plasmodia[quantise]'"
        ) from None
