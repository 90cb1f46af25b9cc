"""A model as a folder that needs torch and nothing else: ``model.py`` and ``model.safetensors``.

What ``model.py`` computes is the recorded program, written as Python: a function of torch's operations, whose
parameters have names and gradients. So every architecture and every family has this format, and a model can be
trained on in it; the structure of its modules is gone.
"""

import importlib.abc
import importlib.util
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.fx import Graph

from runs.errors import RunError
from runs.models.signature import Signature

DEVICE = (
    "_device"  # name of the argument that takes the place of the device on which the program was recorded
)
OUTER = "model."  # of what wraps a model
CODE, WEIGHTS = "model.py", "model.safetensors"
# Of what recording leaves in a program: checks of its own, which say nothing of the outputs.
CHECKS = frozenset(
    {"_assert_tensor_metadata", "promote_types", "_assert_scalar", "sym_constrain_range_for_size"}
)
# What torch's own writer of code may refer to.
KNOWN = frozenset({"inf", "nan", "NoneType", "torch", "device", "fx_pytree", "pytree", "math", "operator"})

TEMPLATE = '''"""{title}: a network that Plasmodia exported. It needs torch, and nothing else.

    from model import load

    model = load()           # in evaluation mode, with the weights of {weights} beside this file
    outputs = model(tokens)  # {reads} -> {answers}

Batches may have any size{lengths}. Of a mixture of experts all experts are computed, and weighted by the router.
"""

import json
import math
import operator
from pathlib import Path

import torch
from torch import Tensor, inf, nan, nn

DTYPES = {{"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
          "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
          "BOOL": torch.bool}}
TRAINED = {trained}
VALUES = {values}


class Model(nn.Module):
    """outputs = model(tokens); its parameters and buffers have the names that they had, with _ for a dot."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        for name in VALUES:
            place = name.replace(".", "_")
            if name in TRAINED:
                self.register_parameter(place, nn.Parameter(tensors[name]))
            else:
                self.register_buffer(place, tensors[name])

    def forward(self, tokens: Tensor) -> Tensor:
        return _outputs(tokens.device, *(getattr(self, name.replace(".", "_")) for name in VALUES), tokens)[0]


def load(path: str | Path = Path(__file__).with_name("{weights}")) -> Model:
    """Return the model with the weights of a safetensors file, in evaluation mode, on the CPU."""
    return Model(_tensors(Path(path).read_bytes())).eval()


def _tensors(data: bytes) -> dict[str, Tensor]:
    start = 8 + int.from_bytes(data[:8], "little")
    found = {{}}
    for name, entry in json.loads(data[8:start]).items():
        if name != "__metadata__":
            first, last = entry["data_offsets"]
            part = bytearray(data[start + first : start + last])
            dtype = DTYPES[entry["dtype"]]
            flat = torch.frombuffer(part, dtype=dtype) if part else torch.empty(0, dtype=dtype)
            found[name] = flat.reshape(entry["shape"])
    return found


{function}
'''


def written(exported: ExportedProgram, signature: Signature, any_length: bool) -> dict[str, bytes]:
    """Return the files of a model in plain torch, by name.

    Parameters
    ----------
    exported
        The recorded program.
    signature
        What it reads and answers.
    any_length
        Whether it reads sequences of any length.

    Raises
    ------
    RunError
        If the program refers to something besides torch.
    """
    import safetensors.torch

    values = {name: each for name, each in _values(exported).items() if isinstance(each, Tensor)}
    tensors = {name: each.detach().cpu().clone().contiguous() for name, each in values.items()}
    trained = sorted(name for name, each in values.items() if each.requires_grad)
    return {
        WEIGHTS: safetensors.torch.save(tensors),
        CODE: _code(exported, signature, any_length, list(values), trained).encode("ascii"),
    }


def executed(files: Mapping[str, bytes]) -> Callable[[Tensor], Tensor]:
    """Return the model that the files of `written` make, as whoever gets them will have it."""
    loader = _Written(files[CODE])
    spec = importlib.util.spec_from_loader("exported_model", loader, origin=CODE)
    assert spec is not None
    module: Any = importlib.util.module_from_spec(spec)
    module.__file__ = CODE
    loader.exec_module(module)
    model: Callable[[Tensor], Tensor] = module.Model(module._tensors(files[WEIGHTS])).eval()
    return model


class _Written(importlib.abc.SourceLoader):
    """What imports a module that is not on disk yet."""

    def __init__(self, source: bytes) -> None:
        self.source = source

    def get_filename(self, fullname: str) -> str:
        return CODE

    def get_data(self, path: str | bytes) -> bytes:
        return self.source


def _values(exported: ExportedProgram) -> dict[str, Any]:
    """Return parameters, buffers and constants of a program by name, in the order of its arguments."""
    kinds = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)
    found = {}
    for spec in exported.graph_signature.input_specs:
        if spec.kind in kinds and spec.target is not None:
            kept = exported.state_dict if spec.target in exported.state_dict else exported.constants
            found[spec.target] = kept[spec.target]
    while found and all(
        name.startswith(OUTER) for name in found
    ):  # the names that they have in the model itself
        found = {name.removeprefix(OUTER): each for name, each in found.items()}
    return found


def _code(
    exported: ExportedProgram, signature: Signature, any_length: bool, values: list[str], trained: list[str]
) -> str:
    tokens = f"float32 [B, S, {signature.features}]"
    if signature.tokens == "discrete":
        tokens = f"int64 [B, S], from 0 to {signature.features - 1}"
    return TEMPLATE.format(
        title=re.sub(r"[^ -~]|[\\\"]", "?", signature.name),
        weights=WEIGHTS,
        reads=tokens,
        answers=f"float32 [B, {'S, ' if signature.per_position else ''}{signature.outputs}]",
        lengths=", sequences any length" if any_length else f"; S is {signature.length}",
        trained=_listed("frozenset", trained),
        values=_listed("tuple", values),
        function=_function(exported),
    )


def _listed(kind: str, names: list[str]) -> str:
    lines = "".join(f"    {name!r},\n" for name in names)
    return f"{kind}((\n{lines}))" if names else f"{kind}()"


def _function(exported: ExportedProgram) -> str:
    graph = Graph()
    graph.output(graph.graph_copy(exported.graph_module.graph, {}))
    for node in reversed(graph.nodes):
        if node.op == "call_function" and not node.users and _named(node.target) in CHECKS:
            graph.erase_node(node)
    code = graph.python_code("self")
    unknown = sorted(set(code.globals) - KNOWN)
    if unknown:
        raise RunError(
            f"this model refers to {unknown[0]}, which is not torch's, so that format torch cannot have it; formats "
            "pt2 and onnx can"
        )
    body = code.src.strip().replace("device(type='cpu')", DEVICE)
    _, _, rest = body.partition("(")
    arguments, _, rest = rest.partition("):")
    names = [part.strip() for part in arguments.split(",")][1:]
    rest = "\n".join(line for line in rest.split("\n") if line.strip())
    return f"def _outputs({DEVICE}, {', '.join(names)}):\n{rest.lstrip(chr(10))}"


def _named(target: Any) -> str:
    return target._schema.name.partition("::")[2] if isinstance(target, torch._ops.OpOverload) else ""
