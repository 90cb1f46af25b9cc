"""Images and sequences as what convolutions read."""

from typing import Any

from torch import Tensor, fx

from kernels import arguments
from organisms.towers.component import TorchComponent
from organisms.towers.configured.drawn import convolution
from organisms.towers.fusion.component import check_sizes
from organisms.towers.geometry.stream import named_generator

INPUT_MODES = ("spatial", "sequence", "auto")


class FlexibleInputComponent(TorchComponent):
    """y_p = W x_p + b at each place p, [B, channels, H, W], of an image [B, C, H, W] or a sequence [B, L, C].

    A sequence is an image of one row, H = 1 and W = L, so that the neighbours of a token are those before and after
    it, whatever its length; a token's numbers are the channels of its place. Both share W. The definition is ours.

    Parameters
    ----------
    name
        Name of the component.
    in_channels
        C.
    channels
        Channels of y.
    input_mode
        "spatial": images; "sequence": sequences; "auto": both, images having four axes and sequences three.
    seed
        With the name, what uuid and parameters are drawn from; None: a uuid of its own, and the parameters of seed 0.
    device
        Options of `TorchComponent`.

    Raises
    ------
    ValueError
        If there is no such mode, or a size is no whole number from 1 on.
    """

    def __init__(
        self,
        name: str,
        in_channels: int,
        channels: int,
        input_mode: str = "auto",
        *,
        seed: int | None = None,
        **device: Any,
    ) -> None:
        super().__init__(name, seed=seed, **device)
        check_sizes(name, in_channels=in_channels, channels=channels)
        arguments.one_of("input_mode", input_mode, INPUT_MODES)
        self.in_channels, self.input_mode = in_channels, input_mode
        source = named_generator(seed, f"FlexibleInputComponent:{name}")
        self.project = convolution(in_channels, channels, 1, source)

    def forward(self, x: Tensor) -> Tensor:
        """Return the map [B, channels, H, W] of x.

        Raises
        ------
        ValueError
            If x is neither of what the mode reads.
        """
        return self.project(as_image(x, self.in_channels, self.input_mode))


def as_image(x: Tensor, channels: int, mode: str) -> Tensor:
    """Return x as an image [B, C, H, W].

    Parameters
    ----------
    x
        An image [B, C, H, W] or a sequence [B, L, C].
    channels
        C.
    mode
        A name in `INPUT_MODES`.

    Raises
    ------
    ValueError
        If x is neither of what the mode reads.
    """
    arguments.tensors(x=x)
    if mode != "sequence" and x.ndim == 4 and x.shape[1] == channels:
        return x
    if mode != "spatial" and x.ndim == 3 and x.shape[2] == channels:
        return x.mT.contiguous().unsqueeze(-2)
    wanted = {"spatial": f"an image [B, {channels}, H, W]", "sequence": f"a sequence [B, L, {channels}]"}
    readable = " or ".join(text for known, text in wanted.items() if mode in (known, "auto"))
    raise ValueError(
        f"x must be {readable}, as input_mode {mode!r} and in_channels say, but is {list(x.shape)}"
    )


# One operation where operations are listed: what it asks of x cannot be asked of a stand-in.
fx.wrap("as_image")
