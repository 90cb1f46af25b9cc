"""What a server takes on at most: requests at once, waiting ones, sizes, seconds, and what it keeps of earlier ones."""

from typing import Annotated

from pydantic import Field, ValidationError, model_validator

from organisms.layers.config import Count, Positive, Section
from runs.config.problems import problems
from runs.errors import ConfigError


class Limits(Section):
    """The limits of a server; names and defaults of the first three are the document's."""

    max_batch_size: Annotated[int, Field(ge=1, le=1024)] = 32
    """Requests that are answered at the same time."""
    kv_cache_size: Annotated[int, Field(ge=0)] = 1000
    """Entries of the prefix cache; 0: nothing is kept."""
    kv_cache_max_tokens: Annotated[int, Field(ge=0)] = 1_000_000
    """Tokens of all entries together; 0: nothing is kept."""
    max_waiting: Count = 256
    """Requests that wait for their turn; the next is told to come back (429)."""
    max_tokens: Annotated[int, Field(ge=2)] = 4096
    """Tokens of a prompt and what it is continued by, together."""
    max_new_tokens: Count = 1024
    """Tokens that a request may ask for."""
    max_body: Count = 2**20
    """Bytes of a request."""
    prefill_chunk: Count = 64
    """Tokens of prompts that are read between two steps of those who are being answered."""
    timeout: Positive = 120.0
    """Seconds from the arrival of a request to its whole answer."""
    body_timeout: Positive = 10.0
    """Seconds in which a client must have sent the head of its request, and as many for its body."""
    drain_timeout: Positive = 30.0
    """Seconds that requests under way are given to end when the server is asked to stop."""

    @property
    def shares(self) -> bool:
        """Whether anything of earlier requests is kept."""
        return self.kv_cache_size > 0 and self.kv_cache_max_tokens > 0

    @model_validator(mode="after")
    def _rules(self) -> "Limits":
        if self.max_new_tokens >= self.max_tokens:
            raise ValueError(
                f"max_new_tokens must be less than max_tokens, {self.max_tokens}, not {self.max_new_tokens}"
            )
        return self


def limits(**given: float | None) -> Limits:
    """Return the limits of a command line, defaults where nothing was given.

    Raises
    ------
    ConfigError
        Naming each option that is not right.
    """
    try:
        return Limits.model_validate({name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        found = [(each.keys[0], each.sentence) for each in problems(error.errors(include_url=False), Limits)]
        # A rule about two of them stands for itself.
        told = [f"--{key.replace('_', '-')}: {text}" if key else text for key, text in found]
        raise ConfigError("\n".join(told)) from None
