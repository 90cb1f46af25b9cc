"""Images as latents of a variational autoencoder."""

from os import PathLike
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from organisms.towers.ports import images
from organisms.towers.ports.pooling import Encoded, pooled
from organisms.towers.ports.source import Source, library
from organisms.towers.ports.torch_port import TorchPort


class VAEPort(TorchPort):
    """The encoder of a Stable Diffusion or Flux autoencoder: an image to latents [C, h, w].

    z = scaling_factor (m - shift_factor), m the mean of the posterior or a sample from it, as the diffusion models of
    the autoencoder take them. An image of 8 bits becomes numbers from -1 to 1; its sides are made multiples of the
    autoencoder's factor, as diffusers does.

    Parameters
    ----------
    name, model_id
        As `TorchPort` takes them.
    pool
        None: the latents; "mean", "max": of each channel, [C].
    size
        Height and width that pictures are scaled to; None: they stay about as they are, and have one size in a batch.
    generator
        What samples of the posterior are drawn from; None: its mean is taken.
    subfolder
        Where the autoencoder is in a model of several parts, such as "vae".
    **options
        As `TorchPort` takes them.
    """

    def __init__(
        self,
        name: str,
        model_id: str | PathLike[str],
        *,
        pool: str | None = None,
        size: tuple[int, int] | None = None,
        generator: torch.Generator | None = None,
        subfolder: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(name, model_id, pool=pool, **options)
        self.size, self.generator, self.subfolder = size, generator, subfolder

    def is_single(self, raw: Any) -> bool:
        """Whether raw data are one image."""
        return images.is_single(raw)

    def read(self, source: Source) -> tuple[nn.Module, Any]:
        """Return the autoencoder, and what makes numbers of pictures."""
        diffusers = library("diffusers")
        below = {} if self.subfolder is None else {"subfolder": self.subfolder}
        kind = "AutoencoderKL"
        with source.reading(diffusers):
            config = diffusers.AutoencoderKL.load_config(source.place, **source.options(), **below)
        source.check_kind(config.get("_class_name", config.get("model_type")), (kind,))
        model = source.weights(diffusers, kind, torch_dtype=self.dtype, low_cpu_mem_usage=False, **below)
        factor = 2 ** (len(config["block_out_channels"]) - 1)
        return model, diffusers.image_processor.VaeImageProcessor(vae_scale_factor=factor)

    def preprocess(self, raw: Any) -> Tensor:
        """Return one image or a batch of them as numbers from -1 to 1, [B, 3, H, W]; prepared tensors as they are.

        Raises
        ------
        TypeError
            If something is no image.
        ValueError
            If there is no image, or the shapes do not fit.
        """
        self.require_loaded()
        return images.prepared(self.name, raw, self._numbers).to(self.device, self.dtype)

    def encode(self, prepared: Tensor) -> Tensor:
        """Return the latents [B, C, h, w] of images."""
        self.require_loaded()
        posterior = self.model.encode(prepared).latent_dist
        found = posterior.mode() if self.generator is None else posterior.sample(self.generator)
        shift = self.model.config.get("shift_factor") or 0.0
        return (found - shift) * self.model.config.scaling_factor

    def postprocess(self, encoded: Any) -> Tensor:
        """Return the latents [B, C, h, w], or what the pool makes of each channel [B, C]."""
        if self.pool is None:
            return encoded
        hidden = encoded.flatten(2).transpose(1, 2)
        everywhere = torch.ones(hidden.shape[:2], dtype=torch.bool, device=hidden.device)
        return pooled(Encoded(hidden, everywhere), self.pool)

    def _numbers(self, batch: list[Image.Image]) -> Tensor:
        sizes = dict.fromkeys(each.size[::-1] for each in batch)
        if self.size is None and len(sizes) > 1:
            raise ValueError(
                f"port {self.name!r} must be given images of one size, but got {', '.join(map(str, sizes))}: have them "
                "scaled by size=(height, width)"
            )
        height, width = self.size or (None, None)
        return self.processor.preprocess(batch, height=height, width=width)
