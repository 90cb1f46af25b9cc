"""One tensor of the messages in an inbox."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor

from kernels import arguments
from organisms.towers.geometry.mailbox import Message

# From contents [M, ...] and similarities of their senders [M] to one content [...].
Aggregation = Callable[[Tensor, Tensor], Tensor]


def attended(
    contents: Float[Tensor, " M *shape"], similarities: Float[Tensor, " M"]
) -> Float[Tensor, "*shape"]:
    """Return sum_i a_i m_i with a = softmax(similarities): who is near is heard, the far ones less.

    The definition is ours: the documents name it only.
    """
    return torch.tensordot(similarities.to(contents.dtype).softmax(0), contents, dims=1)


AGGREGATIONS: Mapping[str, Aggregation] = MappingProxyType(
    {
        "mean": lambda contents, _: contents.mean(0),
        "sum": lambda contents, _: contents.sum(0),
        "max": lambda contents, _: contents.amax(0),
        "attention": attended,
    }
)

DIVIDING = ("mean", "attention")  # what gives fractions


def aggregated(
    messages: Sequence[Message], how: str, similarity: Callable[[Tensor], Tensor]
) -> Tensor | None:
    """Return one content of many, or None of none; gradients flow to the contents, and by attention to fingerprints.

    Parameters
    ----------
    messages
        Their contents have one shape.
    how
        A name in `AGGREGATIONS`.
    similarity
        From fingerprints [M, F] to the similarities with the reader, [M].

    Raises
    ------
    ValueError
        If there is no such aggregation, or contents differ in shape, dtype or device, or are whole numbers to be
        divided.
    """
    arguments.one_of("aggregation", how, tuple(AGGREGATIONS))
    if not messages:
        return None
    first = messages[0]
    for each in messages[1:]:
        if _kind(each.content) != _kind(first.content):
            raise ValueError(
                f"messages that are aggregated must have one shape, dtype and device, but {first.sender!r} sent "
                f"{_kind(first.content)} and {each.sender!r} {_kind(each.content)}: read each by itself, or use "
                "channels"
            )
    if how in DIVIDING and not first.content.is_floating_point():
        raise ValueError(
            f"messages that are aggregated by {how!r} must hold floating-point numbers, but {first.sender!r} sent "
            f"{first.content.dtype}"
        )
    contents = torch.stack([each.content for each in messages])
    return AGGREGATIONS[how](contents, similarity(torch.stack([each.fingerprint for each in messages])))


def _kind(content: Tensor) -> tuple[list[int], torch.dtype, torch.device]:
    return list(content.shape), content.dtype, content.device
