"""Images by the vision transformers of DINO."""

from collections.abc import Mapping
from os import PathLike
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from organisms.towers.ports import images
from organisms.towers.ports.pooling import Encoded
from organisms.towers.ports.source import Source, library
from organisms.towers.ports.torch_port import TorchPort


class DINOPort(TorchPort):
    """DINO and DINOv2, with registers or without: an image to the encodings of its tokens [T, D], pooled to [D].

    The first version is a ``ViTModel``, as its authors' models on the hub are.

    Parameters
    ----------
    name, model_id
        As `TorchPort` takes them.
    pool
        "cls": the class token; "mean", "max": of the patches; None: all tokens, class and registers first.
    **options
        As `TorchPort` takes them.
    """

    POOLS: ClassVar[tuple[str, ...]] = ("cls", "mean", "max")
    CLASSES: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "vit": "ViTModel",
            "dinov2": "Dinov2Model",
            "dinov2_with_registers": "Dinov2WithRegistersModel",
        }
    )

    def __init__(
        self, name: str, model_id: str | PathLike[str], *, pool: str | None = "cls", **options: Any
    ) -> None:
        super().__init__(name, model_id, pool=pool, **options)

    def is_single(self, raw: Any) -> bool:
        """Whether raw data are one image."""
        return images.is_single(raw)

    def read(self, source: Source) -> tuple[nn.Module, Any]:
        """Return the model and the image processor."""
        transformers = library("transformers")
        config = source.config(transformers, self.CLASSES)
        kind = config.model_type
        bare = {"add_pooling_layer": False} if kind == "vit" else {}  # DINO was trained without that layer
        model = source.weights(transformers, self.CLASSES[kind], config=config, dtype=self.dtype, **bare)
        return model, images.processor(source, transformers)

    def preprocess(self, raw: Any) -> dict[str, Tensor]:
        """Return the pixel values [B, C, H, W] of one image or a batch of them.

        Raises
        ------
        TypeError
            If something is no image.
        ValueError
            If there is no image, or the shapes do not fit.
        """
        self.require_loaded()
        pixels = images.processed(self.name, raw, self.processor)
        return {"pixel_values": pixels.to(self.device, self.dtype)}

    def encode(self, prepared: dict[str, Tensor]) -> Encoded:
        """Return the encodings of all tokens, of which the patches count."""
        self.require_loaded()
        hidden = self.model(**prepared).last_hidden_state
        ahead = 1 + getattr(self.model.config, "num_register_tokens", 0)
        patches = torch.arange(hidden.shape[1], device=hidden.device) >= ahead
        return Encoded(hidden, patches.expand(hidden.shape[:2]))
