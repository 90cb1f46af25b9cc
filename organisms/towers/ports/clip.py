"""Texts or images by one half of CLIP, in the space that both share."""

from os import PathLike
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from kernels.suggestion import did_you_mean
from organisms.towers.ports import images, texts
from organisms.towers.ports.pooling import Encoded
from organisms.towers.ports.source import Source, library
from organisms.towers.ports.torch_port import TorchPort


class CLIPPort(TorchPort):
    """A text or an image to CLIP's projection [E], whose cosines compare both, or to the encodings of tokens [T, D].

    Two ports of one model, a text and a vision one, hold a half each.

    Parameters
    ----------
    name, model_id
        As `TorchPort` takes them.
    modality
        "text" or "vision".
    pool
        "projection"; "last", the end of a text; "cls", the class of an image; "mean" and "max" of tokens or patches;
        None: all tokens.
    max_length
        Tokens that a text is cut off at; None: a text longer than the model reads is refused.
    **options
        As `TorchPort` takes them.

    Raises
    ------
    ValueError
        If the modality is not known, or has no such pool.
    """

    POOLS: ClassVar[tuple[str, ...]] = ("projection", "last", "cls", "mean", "max")
    ABSENT: ClassVar[dict[str, str]] = {"text": "cls", "vision": "last"}

    def __init__(
        self,
        name: str,
        model_id: str | PathLike[str],
        *,
        modality: str = "text",
        pool: str | None = "projection",
        max_length: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(name, model_id, pool=pool, **options)
        if modality not in self.ABSENT:
            raise ValueError(
                f"modality of port {name!r} must be text or vision, but is {modality!r}"
                f"{did_you_mean(modality, self.ABSENT)}"
            )
        if pool == self.ABSENT[modality]:
            raise ValueError(f"pool of port {name!r} must not be {pool!r}, which modality {modality!r} lacks")
        self.modality, self.max_length = modality, texts.checked_length(name, max_length)

    def is_single(self, raw: Any) -> bool:
        """Whether raw data are one text or one image."""
        return images.is_single(raw) if self.modality == "vision" else super().is_single(raw)

    def read(self, source: Source) -> tuple[nn.Module, Any]:
        """Return half of the model with its projection, and the tokenizer or the image processor."""
        transformers = library("transformers")
        config = source.config(transformers, ("clip",))
        half = config.text_config if self.modality == "text" else config.vision_config
        half.projection_dim = config.projection_dim  # which a half has a default of its own for
        kind = f"CLIP{self.modality.capitalize()}ModelWithProjection"
        model = source.weights(transformers, kind, config=half, dtype=self.dtype)
        if self.modality == "vision":
            return model, images.processor(source, transformers)
        return model, texts.tokenizer(source, transformers, half.vocab_size)

    def preprocess(self, raw: Any) -> dict[str, Tensor]:
        """Return the tokens of texts, or the pixel values of images, of one or a batch.

        Raises
        ------
        TypeError
            If something is of another modality.
        ValueError
            If there is nothing, or something is too long or of a shape that does not fit.
        """
        self.require_loaded()
        if self.modality == "vision":
            pixels = images.processed(self.name, raw, self.processor)
            return {"pixel_values": pixels.to(self.device, self.dtype)}
        longest = self.model.config.max_position_embeddings
        batch = texts.checked(self.name, raw)
        found = texts.tokens(self.name, batch, self.processor, longest, self.max_length)
        return {key: each.to(self.device) for key, each in found.items()}

    def encode(self, prepared: dict[str, Tensor]) -> Encoded:
        """Return the encodings of all tokens, and the projection."""
        self.require_loaded()
        found = self.model(**prepared)
        if self.modality == "text":
            return Encoded(found.last_hidden_state, prepared["attention_mask"].bool(), found.text_embeds)
        hidden = found.last_hidden_state
        patches = torch.arange(hidden.shape[1], device=hidden.device) >= 1
        return Encoded(hidden, patches.expand(hidden.shape[:2]), found.image_embeds)
