"""Ports whose encoder is a model of torch: where it is, in which dtype, whether it learns, and how it is pooled."""

from abc import abstractmethod
from collections.abc import Iterable
from os import PathLike
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from kernels import arguments
from kernels.suggestion import did_you_mean
from organisms.towers.component import Device, TorchComponent
from organisms.towers.ports.pooling import pooled
from organisms.towers.ports.port import BasePort
from organisms.towers.ports.source import Source


class TorchPort(TorchComponent, BasePort):
    """A port that is a component: it may be attached to a router, be a stage of a tower, be moved and be saved.

    ``to``, ``cuda``, ``cpu``, ``half``, ``float`` and ``bfloat16`` hold for what is loaded and for what will be: a port
    that is not loaded remembers device and dtype. While it is frozen, its parameters want no gradients and it stays in
    evaluation mode, whatever the router is in; gradients flow through it to an input that wants them.

    A subclass reads a model and what prepares its input (`read`), and has a method for each of the three steps.

    Parameters
    ----------
    name
        What people call it.
    model_id
        A folder with a model that ``save_pretrained`` has written, or a name on the hub such as
        "Qwen/Qwen2.5-1.5B-Instruct". For a folder no network is tried.
    pool
        One of `POOLS`: what is made of the encodings of an input; None: they stay as they are, padding included.
    dtype
        What it is loaded and computes in.
    frozen
        Whether it does not learn.
    revision
        A commit, tag or branch on the hub; None: its main branch.
    home_device
        Where `load` and `to_home` bring it; None: where it is.
    allowed_devices, strict, seed
        As `TorchComponent` takes them.

    Raises
    ------
    ValueError
        If the pool is not known, the dtype is none, or the home is not allowed.
    """

    POOLS: ClassVar[tuple[str, ...]] = ("mean", "max")
    __call__ = nn.Module.__call__  # with hooks, around `forward`

    def __init__(
        self,
        name: str,
        model_id: str | PathLike[str],
        *,
        pool: str | None = None,
        dtype: torch.dtype = torch.float32,
        frozen: bool = True,
        revision: str | None = None,
        home_device: Device | None = None,
        allowed_devices: Iterable[Device] | None = None,
        strict: bool = True,
        seed: int | None = None,
    ) -> None:
        super().__init__(
            name, home_device=home_device, allowed_devices=allowed_devices, strict=strict, seed=seed
        )
        if pool is not None and pool not in self.POOLS:
            raise ValueError(
                f"pool of port {name!r} must be one of {', '.join(self.POOLS)} or None, but is {pool!r}"
                f"{did_you_mean(pool, self.POOLS)}"
            )
        arguments.instance(f"dtype of port {name!r}", dtype, torch.dtype)
        self.model_id, self.pool, self.revision, self.frozen = model_id, pool, revision, frozen
        self.model: Any = None
        self.processor: Any = None
        self.register_buffer(
            "_anchor", torch.empty(0, dtype=dtype), persistent=False
        )  # moved as the model is
        self.train(not frozen)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._where().device

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""
        return self._where().dtype

    @property
    def is_loaded(self) -> bool:
        """Whether it holds a model."""
        return self.model is not None

    @abstractmethod
    def read(self, source: Source) -> tuple[nn.Module, Any]:
        """Return the model of a source, in the port's dtype, and what prepares its input."""

    def load(self) -> Self:
        """Read the model, and bring it home; where it is loaded already, nothing changes.

        Raises
        ------
        ModuleNotFoundError
            If the library that reads it is not installed; the message says how to.
        FileNotFoundError
            If there is no such folder.
        ValueError
            If the folder holds a model of another kind, or not all of its weights.
        OSError
            If it cannot be read.
        """
        if self.is_loaded:
            return self
        model, processor = self.read(Source.of(self.name, self.model_id, self.revision))
        self.model, self.processor = model.to(self.device), processor
        self.requires_grad_(not self.frozen)
        self.train(self.training)
        return self.to_home()

    def unload(self) -> Self:
        """Let go of model and processor; device and dtype are remembered."""
        self.model = self.processor = None
        return self

    def freeze(self) -> Self:
        """Let its parameters want no gradients, and stay in evaluation mode."""
        self.frozen = True
        return self.requires_grad_(False).eval()

    def unfreeze(self) -> Self:
        """Let its parameters learn; `train` brings it into training mode from now on."""
        self.frozen = False
        return self.requires_grad_(True)

    def train(self, mode: bool = True) -> Self:
        """Set the mode, as ``nn.Module.train`` does; while it is frozen, to evaluation."""
        return super().train(mode and not self.frozen)

    def postprocess(self, encoded: Any) -> Tensor:
        """Return what the pool makes of what `encode` returns, an `Encoded`: [B, E], or [B, T, D] without a pool."""
        return pooled(encoded, self.pool)

    def _where(self) -> Tensor:
        return self.get_buffer("_anchor")

    def extra_repr(self) -> str:
        """Return name, source and pool, as ``print`` shows them."""
        return f"{super().extra_repr()}, model_id={str(self.model_id)!r}, pool={self.pool!r}"
