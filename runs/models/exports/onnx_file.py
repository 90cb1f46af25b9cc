"""A model as an ONNX file, which onnxruntime and others run."""

import contextlib
import io
import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from runs.errors import RunError
from runs.models.exports.program import of_torch

OPSET = 20
NEEDED = "install the packages for it: pip install 'plasmodia[export]'"


def written(exported: ExportedProgram) -> bytes:
    """Return the file.

    Raises
    ------
    RunError
        If a package is missing, or ONNX has no operation for a part of the program.
    """
    _import("onnx")
    _import("onnxscript")
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)  # torch tells of packages that it could use
    try:
        with of_torch(), contextlib.redirect_stdout(io.StringIO()):
            program: Any = torch.onnx.export(exported, dynamo=True, verbose=False, opset_version=OPSET)
            data: bytes = program.model_proto.SerializeToString()
    except Exception as error:  # of any kind, from the midst of torch
        reason = str(error).strip().rpartition("<class")[2].partition("\n")[0][:200] or type(error).__name__
        raise RunError(
            f"this model has no ONNX form ({reason}); formats pt2 and torch can have it"
        ) from error
    finally:
        logging.disable(level)
    return data


def executed(data: bytes) -> Callable[[Tensor], Tensor]:
    """Return the model that onnxruntime makes of the file.

    Raises
    ------
    RunError
        If onnxruntime is missing, or refuses the file.
    """
    runtime = _import("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of any kind, from the midst of onnxruntime
        raise RunError(
            f"onnxruntime refuses the file: {str(error)[:200]}; formats pt2 and torch can have this model"
        ) from error

    def answer(tokens: Tensor) -> Tensor:
        try:
            return torch.from_numpy(session.run(None, {"tokens": tokens.numpy()})[0])
        except Exception as error:  # of any kind, from the midst of onnxruntime
            raise RuntimeError(str(error)) from error

    return answer


def _import(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise RunError(f"format onnx needs the package {name}, which is not installed; {NEEDED}") from None
