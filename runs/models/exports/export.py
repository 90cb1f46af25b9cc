"""Exporting a model to a format that others read; each export is compared with the model before it is written."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from archive_store import durable
from runs.config.problems import nearest
from runs.errors import ConfigError, RunError
from runs.models.exports.program import (
    Program,
    check,
    difference,
    first_line,
    inputs,
    of_torch,
    recorded,
    recorded_once,
)
from runs.models.opening import Opened

FORMATS: Mapping[str, str] = {
    "torch": "a folder: model.py, which needs torch alone, and model.safetensors",
    "pt2": "a file that torch.export.load reads",
    "onnx": "a file that onnxruntime reads",
    "torchscript": "a file that torch.jit.load reads, for one example at a time",
}
ENDING = {"torch": "-torch", "pt2": ".pt2", "onnx": ".onnx", "torchscript": ".ts"}


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Parameters
    ----------
    path
        The file, or the folder of format torch.
    format
        A name in `FORMATS`.
    difference
        The largest difference of its outputs from the model's, as a share of the largest output.
    batch, length
        How many examples and tokens it reads: "any", or a number.
    """

    path: str
    format: str
    difference: float
    batch: str | int
    length: str | int


def check_format(format: str) -> None:
    """Refuse a format that is not known.

    Raises
    ------
    ConfigError
        If it is not.
    """
    if format not in FORMATS:
        raise ConfigError(
            f"--format must be one of {', '.join(FORMATS)}, not {format!r}{nearest(format, FORMATS)}"
        )


def export(opened: Opened, format: str, path: Path) -> Exported:
    """Write a model in a format, after what will be read has been compared with it.

    Parameters
    ----------
    opened
        The model.
    format
        A name in `FORMATS`.
    path
        The file or folder to make.

    Raises
    ------
    ConfigError
        If there is no such format, or something is at the path already.
    RunError
        If the model cannot have this format, or the export answers otherwise than the model; nothing is written.
    WriteError
        If the disk does not take it.
    """
    check_format(format)
    if path.exists() or path.is_symlink():
        raise ConfigError(f"{path} is there already; give another --out, or remove it")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"there is no folder {path.parent} for {path.name}; make it, or give another --out")
    if format == "torchscript":
        return _torchscript(opened, path)
    program = recorded(opened)
    apart = {"torch": _torch, "pt2": _pt2, "onnx": _onnx}[format](opened, program, path)
    length: str | int = "any" if program.any_length else opened.signature.length
    return Exported(str(path), format, apart, "any", length)


def _torch(opened: Opened, program: Program, path: Path) -> float:
    from runs.models.exports import plain_torch

    files = plain_torch.written(program.exported, opened.signature, program.any_length)
    apart = check(opened, "format torch", plain_torch.executed(files), program.any_length)
    partial = path.with_name(f"{path.name}{durable.PARTIAL}")
    durable.make_directory(partial)
    for name, data in files.items():
        durable.write(partial / name, data)
    durable.rename(partial, path)
    return apart


def _pt2(opened: Opened, program: Program, path: Path) -> float:
    buffer = io.BytesIO()
    with of_torch():
        torch.export.save(program.exported, buffer)
        buffer.seek(0)
        module = torch.export.load(buffer).module()
    apart = check(opened, "format pt2", module, program.any_length)
    durable.write(path, buffer.getvalue())
    return apart


def _onnx(opened: Opened, program: Program, path: Path) -> float:
    from runs.models.exports import onnx_file

    data = onnx_file.written(program.exported)
    apart = check(opened, "format onnx", onnx_file.executed(data), program.any_length)
    durable.write(path, data)
    return apart


def _torchscript(opened: Opened, path: Path) -> Exported:
    jit: Any = getattr(torch, "jit", None)
    if not hasattr(jit, "trace"):
        raise RunError(f"torch {torch.__version__} has no TorchScript any more; choose format pt2 or torch")
    module, length = recorded_once(opened).module(), opened.signature.length
    buffer = io.BytesIO()
    with of_torch():
        tokens = inputs(opened.signature, 1, length)
        try:
            jit.save(jit.trace(module, (tokens,), check_trace=False), buffer)
            buffer.seek(0)
            loaded = jit.load(buffer)
        except (RuntimeError, NotImplementedError, TypeError) as error:
            raise RunError(
                f"this model has no TorchScript ({first_line(error)}); formats pt2, torch and onnx can have "
                "it"
            ) from error
        apart = difference(opened, "format torchscript", loaded, 1, length)
    durable.write(path, buffer.getvalue())
    return Exported(str(path), "torchscript", apart, 1, length)
