"""A checkpoint: a folder of safetensors and JSON, written whole or not at all, and never a pickle.

model.safetensors     parameters and buffers
model.json            architecture, options and signature: all that builds the module again
metrics.json          what was measured of it: step, losses, scores
fingerprint.json      packages and machine that trained it
training.safetensors  of a training that can go on: moments, averages, scaler (`runs.models.fit.step.state`)
digests.json          SHA-256 of each other file; it is written last
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from archive_store import durable
from archive_store.errors import EncodingError
from archive_store.shown import shown
from qd.canonical import canonical, sha256
from runs.config.problems import problems
from runs.errors import ConfigError, RunError
from runs.models.options import ModelChoice
from runs.models.signature import Signature

if TYPE_CHECKING:
    from torch import Tensor, nn

FORMAT = 1
DIGESTS, MODEL, DESCRIPTION, METRICS, FINGERPRINT = (
    "digests.json", "model.safetensors", "model.json", "metrics.json", "fingerprint.json",
)  # fmt: skip
TRAINING = "training.safetensors"
LONGEST = 300  # characters of what a library says that are told
REQUIRED = (MODEL, DESCRIPTION, METRICS, FINGERPRINT)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An opened checkpoint, whose files are what their digests say.

    Parameters
    ----------
    path
        Its folder.
    choice
        Architecture and options.
    signature
        What the model reads and answers.
    metrics
        What was measured of it.
    fingerprint
        Packages and machine that trained it.
    digest
        SHA-256 of ``digests.json``: names the whole.
    data
        The section ``data`` of its training's configuration; None: it was not kept.
    """

    path: Path
    choice: ModelChoice
    signature: Signature
    metrics: Mapping[str, Any]
    fingerprint: Mapping[str, Any]
    digest: str
    data: Mapping[str, Any] | None = None

    def model(self) -> "nn.Module":
        """Return the module with its parameters, on the CPU, in evaluation mode.

        Raises
        ------
        RunError
            If the parameters are those of another architecture.
        """
        import torch

        from runs.models.architectures import build

        model = build(self.signature, self.choice, torch.Generator().manual_seed(0))
        try:
            model.load_state_dict(tensors(self.path / MODEL))
        except (RuntimeError, ValueError) as error:
            raise RunError(f"{self.path} has the parameters of another model: {_line(error)}") from None
        return model.eval()


def save(
    path: Path,
    model: "nn.Module",
    choice: ModelChoice,
    signature: Signature,
    *,
    metrics: Mapping[str, Any],
    fingerprint: Mapping[str, Any],
    training: Mapping[str, "Tensor"] | None = None,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Write a checkpoint, whole or not at all; one that is there under this name stays until the new one is whole.

    Parameters
    ----------
    path
        The folder, which must not be there.
    model
        Whose parameters and buffers are kept.
    choice, signature
        What builds it again.
    metrics, fingerprint
        Plain values.
    training
        What else a training needs to go on; None: nothing is kept of it.
    data
        The section ``data`` of the training's configuration, as plain values, so that the data can be made again;
        None: it is not kept.

    Raises
    ------
    WriteError
        If the disk does not take it.
    """
    described = {"format": FORMAT, "model": choice.model_dump(mode="json"), "signature": signature.plain()}
    if data is not None:
        described["data"] = dict(data)
    files = {
        MODEL: _encoded(model.state_dict()),
        DESCRIPTION: canonical(described).encode(),
        METRICS: canonical(dict(metrics)).encode(),
        FINGERPRINT: canonical(dict(fingerprint)).encode(),
    }
    if training is not None:
        files[TRAINING] = _encoded(training)
    partial = path.with_name(f"{path.name}{durable.PARTIAL}")
    shutil.rmtree(partial, ignore_errors=True)
    durable.make_directory(partial)
    for name, content in files.items():
        durable.place(partial / name, content)
    digests = canonical({name: sha256(content) for name, content in files.items()}).encode()
    durable.write(partial / DIGESTS, digests)
    durable.rename(partial, path)


def open_checkpoint(path: Path) -> Checkpoint:
    """Open a checkpoint; every file is compared with its digest.

    Raises
    ------
    ConfigError
        If the folder is no checkpoint.
    RunError
        If a file is missing or damaged, or of a newer version.
    """
    try:
        listed = (path / DIGESTS).read_bytes()
    except OSError:
        raise ConfigError(f"{path} is no checkpoint: it has no {DIGESTS}") from None
    digests = _json(path / DIGESTS, listed)
    for name in REQUIRED:
        if name not in digests:
            raise RunError(f"{path / DIGESTS} names no {name}; take the checkpoint from a copy")
    there = os.listdir(path)  # a stranger's list has names that no file can have
    for name, digest in digests.items():
        file = path / name
        if name not in there or not file.is_file() or sha256(file.read_bytes()) != digest:
            raise RunError(f"{path / shown(name)} is missing or damaged; take the checkpoint from a copy")
    described = _json(path / DESCRIPTION, (path / DESCRIPTION).read_bytes())
    try:
        if described["format"] > FORMAT:
            raise RunError(f"{path} is of a newer version (format {described['format']}); update Plasmodia")
        choice = ModelChoice.model_validate_json(json.dumps(described["model"]))
        signature = Signature.read(described["signature"])
        data = described.get("data")
        if not isinstance(data, dict | None):
            raise ValueError(f"data must be an object, not {data!r}")
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path / DESCRIPTION} describes no model: {_line(error)}") from None
    return Checkpoint(
        path,
        choice,
        signature,
        _json(path / METRICS, (path / METRICS).read_bytes()),
        _json(path / FINGERPRINT, (path / FINGERPRINT).read_bytes()),
        sha256(listed),
        data,
    )


def tensors(path: Path) -> dict[str, "Tensor"]:
    """Return the tensors of a safetensors file by name, on the CPU.

    Raises
    ------
    EncodingError
        If it is none.
    """
    import safetensors.torch
    from safetensors import SafetensorError

    try:
        return safetensors.torch.load(path.read_bytes())
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise EncodingError(f"{path} is no safetensors file: {error}") from None


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors of a safetensors file by name, from its head alone.

    Raises
    ------
    EncodingError
        If it is none.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise EncodingError(f"{path} is no safetensors file: {error}") from None


def _line(error: Exception) -> str:
    """Return what an error says, on one line of some hundred characters: torch names every parameter."""
    if isinstance(error, ValidationError):
        text = "; ".join(map(str, problems(error.errors(), ModelChoice)))
    else:
        text = " ".join(str(error).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def _encoded(state: Mapping[str, "Tensor"]) -> bytes:
    import safetensors.torch

    # Copies: tied parameters share memory, which the format refuses.
    return safetensors.torch.save(
        {name: each.detach().cpu().clone().contiguous() for name, each in state.items()}
    )


def _json(path: Path, data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is no JSON ({error}); take the checkpoint from a copy") from None
    if not isinstance(value, dict):
        raise RunError(f"{path} is no JSON object; take the checkpoint from a copy")
    return value
