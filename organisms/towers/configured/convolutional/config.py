"""The configuration of a tower of convolutions."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from organisms.layers.config import Count, Section, Share

InputMode: TypeAlias = Literal["spatial", "sequence", "auto"]
PoolMode: TypeAlias = Literal["adaptive", "attention", "multiscale"]


class ConvTowerConfig(Section):
    """A tower of convolutions over images [B, C, H, W] or sequences [B, L, C]."""

    in_channels: Count = 4
    """Channels of an image, C, or numbers of a token: 16 of Flux' latents, 4 of Stable Diffusion's."""
    channels: Count = 64
    """Channels within the tower."""
    out_features: Count = 256
    """Width of the opinion."""
    depth: Count = 2
    """Blocks of convolutions."""
    kernel_size: Annotated[int, Field(ge=1)] = 3
    """Places of a kernel along each axis, an odd number."""
    input_mode: InputMode = "auto"
    """What is read: images, sequences, or both, told apart by their axes."""
    pool_mode: PoolMode = "adaptive"
    """How a map becomes an opinion: by its mean, by learnt attention, or by means at three scales."""
    use_channel_mixer: bool = False
    """Whether each block is followed by attention between channels."""
    use_multiscale: bool = False
    """Whether blocks look at three scales at once, with squeeze and excitation."""
    dropout: Share = 0.0
    """Share of what each stage adds that training leaves out."""

    @model_validator(mode="after")
    def _kernel_has_a_middle(self) -> "ConvTowerConfig":
        if self.kernel_size % 2 == 0:
            raise ValueError(
                f"kernel_size must be odd, so that a kernel has a middle, but is {self.kernel_size}"
            )
        return self

    @property
    def input_width(self) -> int:
        """Width of what the tower reads."""
        return self.in_channels

    @property
    def opinion_width(self) -> int:
        """Width of the opinion."""
        return self.out_features
