"""Fusion by walking: one opinion of what lies on the way from the first to the last."""

from typing import Any

from torch import Tensor

from kernels import arguments
from organisms.towers.component import TorchComponent
from organisms.towers.fusion.component import check_sizes
from organisms.towers.fusion.opinions import stacked
from organisms.towers.walkers.inception import WalkerInception
from organisms.towers.walkers.walker import ConfigurableWalker, preset_walker


class WalkerFusion(TorchComponent):
    """Walks from opinion to opinion, in their order, and brings back one.

    Of two opinions it is the walker's own answer; of N the walker's aggregation over all N - 1 legs of the way, on
    which every opinion but the first and the last is passed twice. With an inception the stops of each leg are learnt,
    else there are no parameters.

    Parameters
    ----------
    name
        Name of the component.
    in_features
        D, the width of an opinion.
    preset
        A name in `PRESETS`: lerp, slerp, slip, shiva, zeus or gilgamesh; or a walker of your own.
    inception
        What moves the stops; None: they stay where the schedule has them.
    num_steps
        Stops of a preset; None: those of the inception, or 8. A walker of your own has its own.
    seed
        Where its uuid comes from.
    device
        Options of `TorchComponent`.

    Raises
    ------
    ValueError
        If there is no such preset or number of stops, or the inception is none or for other ones.
    """

    def __init__(
        self,
        name: str,
        in_features: int,
        preset: str | ConfigurableWalker = "shiva",
        inception: WalkerInception | None = None,
        *,
        num_steps: int | None = None,
        seed: int | None = None,
        **device: Any,
    ) -> None:
        super().__init__(name, seed=seed, **device)
        check_sizes(name, in_features=in_features)
        arguments.instance(f"preset of {name!r}", preset, str, ConfigurableWalker)
        arguments.instance(f"inception of {name!r}", inception, WalkerInception, type(None))
        if isinstance(preset, str):
            default = 8 if inception is None else inception.num_steps
            preset = preset_walker(preset, default if num_steps is None else num_steps)
        self.walker = preset
        self.in_features, self.inception = in_features, inception
        if num_steps not in (None, self.walker.num_steps):
            raise ValueError(
                f"num_steps of {name!r} must be that of its walker, {self.walker.num_steps}, but is {num_steps}"
            )
        if inception is not None:
            here, there = (in_features, self.walker.num_steps), (inception.in_features, inception.num_steps)
            if here != there:
                raise ValueError(
                    f"inception {inception.name!r} must be for the in_features and num_steps of {name!r}, {here}, but "
                    f"is for {there}"
                )

    def forward(self, *opinions: Tensor) -> Tensor:
        """Return the fused opinion, [..., D], of one opinion or more of this shape, in the order of the walk.

        Raises
        ------
        ValueError
            If there is none, or they differ in shape, dtype or device.
        """
        waypoints = stacked(self.name, opinions, max(1, len(opinions)), self.in_features)
        if len(opinions) == 1:
            return waypoints[0]
        a, b = waypoints[:-1], waypoints[1:]
        stops = None if self.inception is None else self.inception(a, b, self.walker)
        legs = self.walker.path(a, b, stops)  # [S, N - 1, ..., D]
        return self.walker.read(legs.transpose(0, 1).flatten(0, 1))


def create_walker_fusion(
    name: str,
    in_features: int,
    preset: str = "shiva",
    with_inception: bool = False,
    *,
    num_steps: int = 8,
    aux_type: str = "cosine",
    seed: int | None = None,
    **device: Any,
) -> WalkerFusion:
    """Return a fusion by a preset, static or with a learnt inception.

    Parameters
    ----------
    name, in_features, preset, num_steps
        As of `WalkerFusion`.
    with_inception
        Whether its stops are learnt.
    aux_type
        As of `WalkerInception`, where there is one.
    seed
        With the name, what the inception is drawn from.
    device
        Options of `TorchComponent`.

    Raises
    ------
    ValueError
        If there is no such preset or auxiliary, or a size is no whole number.
    """
    inception = None
    if with_inception:
        inception = WalkerInception(
            f"{name}_inception", in_features, num_steps, aux_type, seed=seed, **device
        )
    return WalkerFusion(name, in_features, preset, inception, num_steps=num_steps, seed=seed, **device)
