"""A request for the continuation of a sequence, what comes of it, and the ways in which it can fail."""

from collections.abc import Callable
from dataclasses import dataclass

Token = int | tuple[float, ...]  # a symbol, or the numbers of a continuous token


@dataclass(frozen=True, slots=True)
class Generation:
    """A sequence that is to be continued.

    Parameters
    ----------
    request_id
        What the client calls it.
    tokens
        What is continued, at least one.
    max_new_tokens
        How many to add.
    temperature, top_k, top_p
        As `runs.serving.sampling.Choice` has them; a continuous model draws nothing.
    seed
        Names every draw, with the number of the new token.
    use_cache
        Whether what earlier tokens left is kept from step to step; else all is read again for each token.
    reuse_prefix
        Whether what was kept of other requests with the same beginning is used.
    streamed
        Whether the listener wants every token as it comes.
    client
        Whose turn it is when several wait.
    """

    request_id: str
    tokens: tuple[Token, ...]
    max_new_tokens: int
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    use_cache: bool = True
    reuse_prefix: bool = True
    streamed: bool = False
    client: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """A token that was added, number `index` from 0 on."""

    index: int
    token: Token


@dataclass(frozen=True, slots=True)
class Done:
    """A continuation that is whole.

    Parameters
    ----------
    generation
        The request.
    new_tokens
        What was added.
    reused
        Tokens of the prompt that were not computed, because they were kept.
    waited, first, total
        Seconds from arrival to the turn, to the first new token, and to the last.
    """

    generation: Generation
    new_tokens: tuple[Token, ...]
    reused: int
    waited: float
    first: float
    total: float


@dataclass(frozen=True, slots=True)
class Failed:
    """A request that was not answered.

    Parameters
    ----------
    status
        Of HTTP.
    sentence
        What was wrong, for the client.
    """

    status: int
    sentence: str


Event = Piece | Done | Failed
Listener = Callable[[Event], None]


class Refused(Exception):
    """A request that is not taken on.

    Parameters
    ----------
    status
        Of HTTP.
    sentence
        Why, and what would be right.
    retry_after
        Seconds after which it may be; None: never as it is.
    """

    def __init__(self, status: int, sentence: str, retry_after: int | None = None) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.retry_after = status, sentence, retry_after
