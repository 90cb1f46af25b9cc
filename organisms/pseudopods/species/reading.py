"""A trained organism reads a stream on, in pieces of any length, as it is used behind a run.

Shape suffixes: B streams, S tokens, T of a chunk, D residual width.
"""

import torch
from torch import Tensor

from organisms.layers.norms import rms_norm
from organisms.nn import readout, stem
from organisms.pseudopods.species.organism import PseudopodOrganism
from organisms.pseudopods.species.remembered import before_each
from organisms.pseudopods.stream.state import FlowState, check_state, new_state, stacked
from organisms.pseudopods.tubes import Tubes
from organisms.residual.writes import Writes


def read(
    organism: PseudopodOrganism, inputs: Tensor, state: FlowState | None = None
) -> tuple[Tensor, FlowState]:
    """Return the outputs for any number of further tokens of B streams, and the state after them.

    A stream that is cut anywhere has the outputs of the whole, but for roundings, and may be longer than those of the
    task. The state holds no graph. Its `residual` is empty: of the chunk before, a token sees what tubes hold alone.

    Parameters
    ----------
    organism
        Of a stream, with or without a memory.
    inputs
        Tokens of B streams, as the task has them.
    state
        Where the tokens before ended; None: these are the first.

    Raises
    ------
    ValueError
        If the task is no stream with an output for every token, or the state is of other streams or organisms.
    """
    task, like = organism.task, organism.interface["embed"]
    if task.chunk is None or not task.per_position:
        raise ValueError(f"the task {task.name!r} is no stream with an output for every token")
    shape = (organism.pool.depth, len(inputs), like.shape[1])
    if state is None:
        state = new_state(shape, lambda data: _none(organism, data), like)
    check_state(state, shape, task.chunk, 0 if organism.memory is None else organism.memory.capacity, like)
    first, left = state.input.shape[2], []
    x = stem(task, organism.interface, inputs, first)
    for layer, (under_way, tubes) in enumerate(zip(state.input, state.hidden, strict=True)):
        written, behind = _read_on(organism, layer, torch.cat([under_way, rms_norm(x)], 1), tubes)
        x = x + written[:, first:]
        left.append(behind)
    return readout(task, organism.interface, x), stacked(left)


def _read_on(
    organism: PseudopodOrganism, layer: int, h_BSD: Tensor, tubes: Tubes
) -> tuple[Tensor, tuple[Tensor, Tubes, Tensor]]:
    """Return what a layer writes from the beginning of a chunk on, and what it leaves behind."""
    T, S = organism.task.sight, h_BSD.shape[1]
    found = [tubes] * (S // T + 1)
    if organism.memory is not None:
        found = before_each(tubes, h_BSD, T, organism.interface["store"][layer], organism.memory)
    written = []
    for h_BTD, seen in zip(h_BSD.split(T, 1), found, strict=False):
        output = organism.recalling(layer, h_BTD, seen).output
        written.append(Writes(output, organism.pool.layers("ov.V")[layer], kernel=organism.kernel).total())
    return torch.cat(written, 1), (h_BSD[:, S // T * T :], found[-1], h_BSD[:, :0])


def _none(organism: PseudopodOrganism, data_BD: Tensor) -> Tubes:
    """Return no tubes for B streams, and room for those of the memory."""
    if organism.memory is not None:
        return organism.memory.none(data_BD)
    B, D = data_BD.shape
    nothing = data_BD.new_zeros(B, 0)
    return Tubes(data_BD.new_zeros(B, 0, D), nothing, nothing)
