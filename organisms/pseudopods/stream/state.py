"""What a stream leaves behind, from which its next chunk is read.

Shape suffixes: L layers, B sequences, T tokens of a block, D width, M tubes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from organisms.layers.checks import described
from organisms.pseudopods.tubes import Tubes

Convert = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class FlowState:
    """The state of L layers. Its size does not grow with the stream, and no gradient flows through it.

    Differs from the blueprint, which names the three alone: what they hold is ours.
    """

    input: Tensor  # [L, B, P, D], what each layer has read of the block under way, P < T tokens
    hidden: tuple[
        Tubes, ...
    ]  # of each layer, M for each sequence: tokens of the blocks that are out of sight
    residual: (
        Tensor  # [L, B, T, D], the block before, which is in sight, and in no tube yet; at first [L, B, 0, D]
    )

    def converted(self, convert: Convert) -> "FlowState":
        """Return the state with every tensor converted, such as to another device."""
        hidden = (Tubes(*map(convert, (each.content, each.conductance, each.flux))) for each in self.hidden)
        return FlowState(convert(self.input), tuple(hidden), convert(self.residual))


def check_state(state: object, shape: tuple[int, int, int], block: int, capacity: int, x: Tensor) -> None:
    """Refuse a state that is not of such sequences and such a model.

    Parameters
    ----------
    state
        Must be a `FlowState`.
    shape
        L, B and D.
    block
        T.
    capacity
        M.
    x
        A tensor of its dtype, on its device.

    Raises
    ------
    ValueError
        If it is another.
    """
    if not isinstance(state, FlowState):
        raise ValueError(
            f"state must be a FlowState, as a call before returned it, or None, but is {described(state)}"
        )
    L, B, D = shape
    if state.input.ndim == 4 and state.input.shape[1] != B:
        raise ValueError(
            f"state is of {state.input.shape[1]} sequences, but there are {B} now: begin anew, or read the same "
            "sequences on"
        )
    wanted: dict[str, tuple[Tensor, tuple[int, ...]]] = {
        "input": (state.input, (L, B, state.input.shape[2] if state.input.ndim == 4 else 0, D)),
        "residual": (state.residual, (L, B, 0 if not state.residual.numel() else block, D)),
    }
    for layer, tubes in enumerate(state.hidden):
        name = f"hidden[{layer}]"
        wanted[f"{name}.content"] = (tubes.content, (B, capacity, D))
        wanted[f"{name}.conductance"] = (tubes.conductance, (B, capacity))
        wanted[f"{name}.flux"] = (tubes.flux, (B, capacity))
    for name, (tensor, sizes) in wanted.items():
        if (tuple(tensor.shape), tensor.dtype, tensor.device) != (sizes, x.dtype, x.device):
            raise ValueError(
                f"state is of another model: its {name} must be {x.dtype} {list(sizes)} on {x.device}, but is "
                f"{described(tensor)}"
            )
    if len(state.hidden) != L or state.input.shape[2] >= block:
        raise ValueError(
            f"state is of another model: it has {len(state.hidden)} layers and {state.input.shape[2]} tokens of a "
            f"block under way, where {L} layers and blocks of {block} are"
        )


def new_state(shape: tuple[int, int, int], tubes: Callable[[Tensor], Tubes], like: Tensor) -> FlowState:
    """Return the state before a stream.

    Parameters
    ----------
    shape
        L, B and D.
    tubes
        Returns no tubes, for data [B, D].
    like
        A tensor of the wanted dtype and device.
    """
    L, B, D = shape
    nothing = like.new_zeros(L, B, 0, D)
    return FlowState(nothing, tuple(tubes(like.new_zeros(B, D)) for _ in range(L)), nothing)


def stacked(layers: list[tuple[Tensor, Tubes, Tensor]]) -> FlowState:
    """Return the state of what each layer leaves, without what it was computed from."""
    inputs, hidden, residuals = zip(*layers, strict=True)
    state = FlowState(torch.stack(inputs), hidden, torch.stack(residuals))
    return state.converted(Tensor.detach)
