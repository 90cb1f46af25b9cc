"""The engine: sequences of many requests grow together, a token each step; requests join and leave between steps.

It has no thread, no clock and no network of its own: `runs.serving.service` calls it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from runs.serving.counts import Counts
from runs.serving.generation import Done, Event, Failed, Generation, Listener, Piece, Token
from runs.serving.limits import Limits
from runs.serving.prefixes import Prefixes
from runs.serving.queueing import Turns
from runs.serving.readers import Kept, Reader, Work, cut
from runs.serving.sampling import Choice, draw, next_symbols

UNREADABLE = 422
TOO_LATE = 504


@dataclass(eq=False, slots=True)
class Growing:
    """A request on its way."""

    generation: Generation
    listener: Listener
    arrived: float
    tokens: list[Token]
    slot: int = -1  # none yet
    read: int = 0  # tokens that the reader has of it
    reused: int = 0
    started: float = math.nan
    first: float = math.nan
    new: list[Token] = field(default_factory=list)

    @property
    def unread(self) -> int:
        """Tokens that have to be read before the next can be said; at least 1."""
        return len(self.tokens) - self.read


class Engine:
    """Continuous batching over one model.

    Parameters
    ----------
    reader
        How the model is read.
    discrete
        Whether tokens are symbols, which are drawn, and not vectors, which are predicted.
    limits
        What is taken on at most.
    clock
        Seconds from some time on; times in answers and time-outs are by it.
    """

    def __init__(self, reader: Reader, *, discrete: bool, limits: Limits, clock: Callable[[], float]) -> None:
        self.reader, self.limits = reader, limits
        self._discrete, self._clock = discrete, clock
        kept = limits if reader.incremental else limits.model_copy(update={"kv_cache_size": 0})
        self.prefixes: Prefixes[Kept] = Prefixes(kept.kv_cache_size, kept.kv_cache_max_tokens, cut)
        self.waiting: Turns[Growing] = Turns()
        self.running: list[Growing] = []
        self._free = list(range(limits.max_batch_size))
        self.counts = Counts()

    @property
    def busy(self) -> bool:
        """Whether there is something to do."""
        return bool(self.running or len(self.waiting))

    def submit(self, generation: Generation, listener: Listener) -> Growing:
        """Let a request wait for its turn, and return what `cancel` takes."""
        growing = Growing(generation, listener, self._clock(), list(generation.tokens))
        self.waiting.put(generation.client, growing)
        return growing

    def cancel(self, growing: Growing) -> None:
        """Drop a request, whose client is gone; nothing more is told of it."""
        if growing in self.running:
            self.reader.clear(growing.slot)  # what it had read was not looked at yet: it may not be finite
            self._leave(growing)
        else:
            before = len(self.waiting)
            self.waiting.remove(growing)
            if len(self.waiting) == before:
                return  # it has ended meanwhile
        self.counts.cancelled += 1

    def step(self) -> None:
        """Let requests in, read the next tokens of all that run, and tell what came of it."""
        self._time_out()
        while self._free and len(self.waiting):
            self._enter(self.waiting.take())
        works = self._works()
        if not works:
            return
        self.counts.steps += 1
        self.counts.largest_batch = max(self.counts.largest_batch, len(works))
        self._advance(*self._outputs(works))

    def _time_out(self) -> None:
        now = self._clock()
        for growing in [*self.waiting, *self.running]:
            if now - growing.arrived >= self.limits.timeout:
                self.counts.timed_out += 1
                self._fail(
                    growing,
                    TOO_LATE,
                    f"the request was not answered within {self.limits.timeout:g} s: {len(growing.new)} of "
                    f"{growing.generation.max_new_tokens} new tokens were done; ask for fewer, or later",
                )

    def _enter(self, growing: Growing) -> None:
        self._free.sort(reverse=True)
        growing.slot, growing.started = (
            self._free.pop(),
            self._clock(),
        )  # the lowest: those that run stay together
        self.running.append(growing)
        self.counts.requests += 1
        asked = growing.generation
        if not (asked.use_cache and asked.reuse_prefix and self.reader.incremental):
            return
        # The last token is read in any case: what follows it is not kept.
        held = self.prefixes.match(keys(growing.tokens[:-1]))
        try:
            start = 0
            for part in held.parts:
                self.reader.restore(growing.slot, start, part)
                start += part[0].shape[2]
        finally:
            self.prefixes.release(held)
        growing.read = growing.reused = held.length
        self.counts.cache_hits += held.length > 0
        self.counts.prefix_tokens_reused += held.length

    def _works(self) -> list[tuple[Growing, Work]]:
        """Return what is read in this step: the newest token of each, and together one chunk of longer prompts."""
        long = [growing for growing in self.running if growing.unread > 1]
        share = max(1, self.limits.prefill_chunk // max(1, len(long)))
        works = []
        for growing in self.running:
            count = min(growing.unread, share) if self.reader.incremental else growing.unread
            tokens = tuple(growing.tokens[growing.read : growing.read + count])
            works.append((growing, Work(growing.slot, growing.read, tokens)))
        return works

    def _outputs(
        self, works: Sequence[tuple[Growing, Work]]
    ) -> tuple[list[tuple[Growing, Work]], Tensor | None]:
        """Return the sequences that could be read, and what follows them; the others have failed."""
        try:
            return list(works), self.reader.read([work for _, work in works])
        except ValueError as error:
            if len(works) > 1:  # one of them is at fault: each is read alone, and the same once more
                alone = [self._outputs([each]) for each in works]
                read = [each for found, _ in alone for each in found]
                outputs = [output for _, output in alone if output is not None]
                return read, torch.cat(outputs) if outputs else None
            ((growing, _),) = works
            self._fail(growing, UNREADABLE, f"the model cannot read these tokens: {error}")
            return [], None

    def _advance(self, works: Sequence[tuple[Growing, Work]], outputs: Tensor | None) -> None:
        whole: list[Growing] = []
        rows: list[int] = []
        for row, (growing, work) in enumerate(works):
            self.counts.prompt_tokens += len(work.tokens) if not growing.new else 0
            growing.read += len(work.tokens)
            if growing.unread == 0:
                whole.append(growing)
                rows.append(row)
        if not whole or outputs is None:
            return
        found = outputs[rows]
        finite = found.isfinite().all(1).tolist()
        for growing, is_finite in zip(whole, finite, strict=True):
            if not is_finite:
                after = len(growing.new)
                self._fail(
                    growing, UNREADABLE, f"what the model answers is not finite after {after} new tokens"
                )
        ready = [growing for growing, is_finite in zip(whole, finite, strict=True) if is_finite]
        if ready:
            for growing, token in zip(ready, self._next(ready, found[torch.tensor(finite)]), strict=True):
                self._add(growing, token)

    def _next(self, ready: Sequence[Growing], outputs: Tensor) -> list[Token]:
        if not self._discrete:
            return [tuple(row) for row in outputs.tolist()]
        choices = [
            Choice(asked.temperature, asked.top_k, asked.top_p, draw(asked.seed, len(growing.new)))
            for growing in ready
            for asked in (growing.generation,)
        ]
        return [*next_symbols(outputs, choices)]

    def _add(self, growing: Growing, token: Token) -> None:
        asked = growing.generation
        if not growing.new:
            growing.first = self._clock()
            self._keep(growing)  # others may begin alike at once
        growing.new.append(token)
        growing.tokens.append(token)
        self.counts.new_tokens += 1
        if asked.streamed:
            growing.listener(Piece(len(growing.new) - 1, token))
        if len(growing.new) == asked.max_new_tokens:
            self._keep(growing)
            self._leave(growing)
            self.counts.completed += 1
            growing.listener(self._done(growing))
        elif not asked.use_cache:
            growing.read = 0

    def _keep(self, growing: Growing) -> None:
        asked = growing.generation
        if asked.use_cache and asked.reuse_prefix and self.reader.incremental:
            slot = growing.slot
            self.prefixes.insert(
                keys(growing.tokens[: growing.read]), lambda start, end: self.reader.keep(slot, start, end)
            )

    def _done(self, growing: Growing) -> Event:
        arrived = growing.arrived
        return Done(
            growing.generation,
            tuple(growing.new),
            growing.reused,
            waited=growing.started - arrived,
            first=growing.first - arrived,
            total=self._clock() - arrived,
        )

    def _fail(self, growing: Growing, status: int, sentence: str) -> None:
        if growing in self.running:
            self.reader.clear(growing.slot)
            self._leave(growing)
        else:
            self.waiting.remove(growing)
        self.counts.failed += 1
        growing.listener(Failed(status, sentence))

    def _leave(self, growing: Growing) -> None:
        self.running.remove(growing)
        self._free.append(growing.slot)

    def fail_all(self, status: int, sentence: str) -> None:
        """End all requests, after an error that is nobody's."""
        for growing in [*self.waiting, *self.running]:
            self._fail(growing, status, sentence)


def keys(tokens: Sequence[Token]) -> tuple[int | bytes, ...]:
    """Return what tokens are known by in the prefix cache: symbols themselves, numbers by their bytes in float32."""
    return tuple(
        token if isinstance(token, int) else np.asarray(token, dtype=np.float32).tobytes() for token in tokens
    )
