"""A causal language model of flow layers.

Shape suffixes: B examples, S tokens, L layers, V vocabulary, D width.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from kernels.linear import linear
from organisms.flow.enhanced_layer import EnhancedFlowLayer, obstacle
from organisms.flow.memory import FlowMemoryNetwork, guard_banks
from organisms.flow.past import LayerPast
from organisms.flow.sequences import check_ids, check_length, generator_or_default
from organisms.flow.stretch import stretches
from organisms.flow.whole_numbers import count
from organisms.layers.key_values import Reading
from organisms.layers.norms import RMSNorm


class FlowNetwork(nn.Module):
    """logits = head(norm(layers(embed(ids)))): the logits at a token depend on it and earlier ones only.

    Layers are causal `EnhancedFlowLayer`; flow and attention see a sliding window, so that the cost grows with S times
    the window. Positions enter as distances only, and not through a table: `forward_chunked` reads any length.

    Parameters
    ----------
    vocab_size, d_model, num_layers, max_seq_len
        V, D, L and the longest sequence of one forward pass; numbers or tensors of one element.
    num_heads
        Heads of attention, brought to a divisor of D (`adjust_num_heads`).
    num_patterns, base_sparsity, num_channels
        Of the flows, as `FlowLayer` takes them.
    window
        In tokens; None: `max_seq_len`, so that a token sees all before it.
    self_attention
        Whether layers attend beside their flow.
    memory_size
        Slots of each layer's memory; None: there is none.
    num_memory_heads, carry_over
        Of the memory, as `FlowMemoryNetwork` takes them.
    block_size
        Tokens that the memory writes at once, at most `max_seq_len`; None: as many as the window or, if those are more,
        the slots: what is nearer a token sees in its window.
    generator
        What the parameters are drawn from, on the CPU; None: a new one of seed 0.

    Raises
    ------
    ValueError
        If a size is no whole number from 1 on, the sparsity no share, a block longer than `max_seq_len`, or `generator`
        no generator of the CPU.
    """

    def __init__(
        self,
        vocab_size: int,
        d_model: int,
        num_layers: int,
        max_seq_len: int,
        *,
        num_heads: int = 8,
        num_patterns: int = 16,
        base_sparsity: float = 0.1,
        num_channels: int = 2,
        window: int | None = 128,
        self_attention: bool = True,
        memory_size: int | None = 64,
        num_memory_heads: int = 4,
        block_size: int | None = None,
        carry_over: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        V, D, L = (
            count("vocab_size", vocab_size),
            count("d_model", d_model),
            count("num_layers", num_layers),
        )
        self.vocab_size, self.max_seq_len = V, count("max_seq_len", max_seq_len)
        self.window = None if window is None else count("window", window)
        self.block_size = _block(memory_size, self.window, block_size, self.max_seq_len)
        stream = generator_or_default(generator)
        # As wide as can be, and the same for all lengths: else a prefix would choose other positions than the whole.
        widest = self.window or self.max_seq_len
        self.embed = nn.Parameter(torch.randn(V, D, generator=stream))
        self.layers = nn.ModuleList(
            EnhancedFlowLayer(
                D,
                D,
                num_patterns,
                num_heads,
                base_sparsity=base_sparsity,
                num_channels=num_channels,
                window=widest,
                causal=True,
                self_attention=self_attention,
                memory_size=memory_size,
                num_memory_heads=num_memory_heads,
                block_size=self.block_size,
                carry_over=carry_over,
                generator=stream,
                n_layers=L,
            )
            for _ in range(L)
        )
        self.norm = RMSNorm(D)
        self.head = nn.Parameter(torch.randn(V, D, generator=stream) / math.sqrt(D))
        guard_banks(self)

    def forward(
        self, input_ids: Int64[Tensor, "B S"], update_memory: bool = True
    ) -> tuple[Float[Tensor, "B S V"], dict[str, Tensor]]:
        """Return the logits at each token, [B, S, V], and the layers' metrics, stacked, [L, ...].

        Parameters
        ----------
        input_ids
            Symbols in [0, V), int64 [B, S] with S at most `max_seq_len`.
        update_memory
            Whether the memories are written as the sequences are read.

        Raises
        ------
        ValueError
            If there are other symbols, or more of them, or they are on another device than the parameters.
        """
        check_ids(input_ids, self.vocab_size, self.embed.device)
        longer = "forward_chunked reads longer ones" if self.window else "make a network of a larger one"
        check_length(input_ids, self.max_seq_len, longer)
        return self._read(input_ids, update_memory, [None] * len(self.layers), [None] * len(self.layers))[:2]

    def forward_chunked(
        self, input_ids: Int64[Tensor, "B S"], chunk_len: int | None = None, *, update_memory: bool = True
    ) -> Float[Tensor, "B S V"]:
        """Return the logits of a sequence of any length, [B, S, V], read a chunk at a time.

        They are those of one forward pass of a network with a longer `max_seq_len`, but for roundings: each layer keeps
        the W - 1 tokens before a chunk and what its memory has come to. Without a window there is no such pass: every
        token would see all before it.

        Parameters
        ----------
        input_ids
            Symbols in [0, V), int64 [B, S].
        chunk_len
            Tokens of a chunk, at most `max_seq_len` and with a memory a multiple of its block; None: as many as can be.
        update_memory
            Whether the memories are written as the sequences are read.

        Raises
        ------
        ValueError
            If there are other symbols, or they are on another device than the parameters; if the network has no window;
            if chunks have another length than this.
        """
        check_ids(input_ids, self.vocab_size, self.embed.device)
        if self.window is None:
            raise ValueError(
                "forward_chunked needs a window, but window is None: every token sees all before it"
            )
        length = self._chunk(chunk_len)
        pasts: list[Tensor | None] = [None] * len(self.layers)
        states: list[Tensor | None] = [None] * len(self.layers)
        read = []
        for chunk in input_ids.split(length, 1):
            logits, metrics, inputs = self._read(chunk, update_memory, pasts, states)
            read.append(logits)
            if self.window > 1:
                pasts = [_last(past, own, self.window - 1) for past, own in zip(pasts, inputs, strict=True)]
            if "memory_state" in metrics:
                states = list(metrics["memory_state"])
        return torch.cat(read, 1)

    def new_pasts(self, slots: int, *, shared: bool = False) -> list[LayerPast]:
        """Return what each layer keeps of so many sequences, for `extended`.

        Parameters
        ----------
        slots
            Sequences at the same time.
        shared
            Whether `LayerPast.taken` gives what was read to other sequences.

        Raises
        ------
        ValueError
            If the memory is carried over from call to call.
        """
        return [layer.new_past(slots, shared=shared) for layer in self._own_layers()]

    @property
    def obstacle(self) -> str | None:
        """Why `extended` cannot read sequences; None: it can."""
        return next((found for layer in self._own_layers() if (found := obstacle(layer))), None)

    def extended(
        self, input_ids: Int64[Tensor, " N"], reading: Reading, pasts: Sequence[LayerPast]
    ) -> Float[Tensor, "sequences V"]:
        """Return the logits at the last of the new tokens of each sequence, of any length, as `forward_chunked` does.

        A token costs what one position does: layers keep the last W tokens and the banks that the blocks before have
        left. Without a window W is `max_seq_len`: what is farther back is not seen any more, as it never was. Logits
        do not depend, in any bit, on how sequences are cut, nor on the others, where rows of a matrix product do not
        (Intel's MKL in its reproducible mode); they differ from those of `forward` by roundings.

        Parameters
        ----------
        input_ids
            The new symbols of all sequences, one sequence after the other, in [0, V), [N].
        reading
            Which sequences they belong to; those that have read nothing yet start from the banks as they were made.
        pasts
            What each layer keeps, of `new_pasts`.

        Raises
        ------
        ValueError
            If there are other symbols.
        """
        check_ids(input_ids[None], self.vocab_size, self.embed.device)
        for slot, start in zip(reading.slots, reading.starts, strict=True):
            if start == 0:
                for past in pasts:
                    past.begin(slot)
        x_ND = F.embedding(input_ids, self.embed)
        out = torch.empty_like(x_ND)
        for stretch, token_nS in stretches(reading, pasts[0].ring):
            x = x_ND[token_nS]
            for layer, past in zip(self._own_layers(), pasts, strict=True):
                x = layer.extended(x, stretch, past)
            out[token_nS] = x
        return F.linear(self.norm(out.index_select(0, reading.last)), self.head)

    def reset_memory(self) -> None:
        """Set every layer's bank to what it was before anything was written."""
        for part in self.modules():
            if isinstance(part, FlowMemoryNetwork):
                part.reset_memory()

    def _read(
        self, ids: Tensor, update_memory: bool, pasts: list[Tensor | None], states: list[Tensor | None]
    ) -> tuple[Tensor, dict[str, Tensor], list[Tensor]]:
        """Return logits, metrics and what came into each layer."""
        x, inputs, found = F.embedding(ids, self.embed), [], []
        for layer, past, state in zip(self.layers, pasts, states, strict=True):
            inputs.append(x)
            x, metrics = layer(x, update_memory=update_memory, past=past, state=state)
            found.append(metrics)
        stacked = {name: torch.stack([each[name] for each in found]) for name in found[0]}
        return linear(self.norm(x), self.head), stacked, inputs

    def _own_layers(self) -> list[EnhancedFlowLayer]:
        return [layer for layer in self.layers if isinstance(layer, EnhancedFlowLayer)]

    def _chunk(self, chunk_len: int | None) -> int:
        block = self.block_size or 1
        length = self.max_seq_len // block * block if chunk_len is None else count("chunk_len", chunk_len)
        if length > self.max_seq_len or length % block:
            raise ValueError(
                f"chunk_len must be at most max_seq_len, {self.max_seq_len}, and a multiple of the memory's block, "
                f"{block}, but is {length}"
            )
        return length


def _block(memory_size: int | None, window: int | None, block_size: int | None, longest: int) -> int | None:
    """Return the tokens that a memory writes at once; None where there is none."""
    if memory_size is None:
        return None
    if block_size is None:
        return min(max(count("memory_size", memory_size), window or 1), longest)
    block = count("block_size", block_size)
    if block > longest:
        raise ValueError(f"block_size must be at most max_seq_len, {longest}, but is {block}")
    return block


def _last(past: Tensor | None, x: Tensor, length: int) -> Tensor:
    return (x if past is None else torch.cat([past, x], 1))[:, -length:]
