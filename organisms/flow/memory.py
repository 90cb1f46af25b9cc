"""A bank of vectors that a sequence writes as it goes, and reads.

Shape suffixes: B examples, S tokens, J blocks of T tokens, M slots, D width.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from kernels import backends
from organisms.flow.attention import CrossAttention
from organisms.flow.past import LayerPast
from organisms.flow.sequences import check_sequence, generator_or_default
from organisms.flow.stretch import Stretch
from organisms.flow.whole_numbers import count
from organisms.flow.writes import histories, written
from organisms.layers.checks import described
from organisms.layers.norms import rms_norm

EMPTY = 0.5  # root mean square of a slot that nothing was written into; of a token it is 1


class FlowMemoryNetwork(nn.Module):
    """out_t = attention of x_t to the bank that the blocks of T tokens before its own have written.

    Reads are multi-head attention to M slots. Writes are the moving averages of `organisms.flow.writes.written`: no
    gradient flows into the bank, nothing is drawn, and no slot grows beyond sqrt(D). A token reads neither its own
    block nor a later one. Every sequence starts from `memory_bank`, a buffer, and writes a copy of its own, so that
    neither the sequences of a batch nor two calls learn of one another, unless `carry_over` is asked for, or the
    ``memory_state`` of a call's metrics is passed on.

    Differs from the document: there every call writes the one bank, which a later batch then reads.

    Parameters
    ----------
    d_model
        D.
    memory_size
        M.
    num_memory_heads
        Heads of the reads, brought to a divisor of D (`adjust_num_heads`).
    decay
        Share of a slot that stays when a block writes into it, in [0, 1).
    block_size
        T; None: M, for which the banks of a pass take as much memory as its tokens.
    carry_over
        Whether a call leaves the mean of what its sequences wrote in `memory_bank`, where the next one starts.
    generator
        What the first bank and the matrices are drawn from, on the CPU; None: a new one of seed 0.
    n_layers
        L, the layers of the model, for the scaled initialisation.

    Raises
    ------
    ValueError
        If a size is no whole number from 1 on, the decay not in [0, 1), or `generator` no generator of the CPU.
    """

    memory_bank: Tensor
    initial_bank: Tensor

    def __init__(
        self,
        d_model: int,
        memory_size: int,
        num_memory_heads: int,
        *,
        decay: float = 0.5,
        block_size: int | None = None,
        carry_over: bool = False,
        generator: torch.Generator | None = None,
        n_layers: int = 1,
    ) -> None:
        super().__init__()
        D, M = count("d_model", d_model), count("memory_size", memory_size)
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be at least 0 and under 1, but is {decay}")
        stream = generator_or_default(generator)
        self.decay, self.carry_over = decay, carry_over
        self.block_size = M if block_size is None else count("block_size", block_size)
        # Slots that differ are near to different tokens, and short ones nearer than what other tokens wrote. Both are
        # saved, so that a reset finds the same ones.
        bank = EMPTY * rms_norm(torch.randn(M, D, generator=stream))
        self.register_buffer("memory_bank", bank)
        self.register_buffer("initial_bank", bank.clone())
        self.reads = CrossAttention(
            D, count("num_memory_heads", num_memory_heads), generator=stream, n_layers=n_layers
        )
        guard_banks(self)

    def forward(
        self, x: Float[Tensor, "B S D"], update_memory: bool = True, state: Tensor | None = None
    ) -> tuple[Float[Tensor, "B S D"], dict[str, Tensor]]:
        """Return what every token reads, [B, S, D], and metrics.

        ``memory_state`` [B, M, D] is what each sequence leaves; ``memory_change`` the root mean square of what it
        changed, and ``memory_norm`` the largest length of a slot over sqrt(D).

        Parameters
        ----------
        x
            Tokens, [B, S, D].
        update_memory
            Whether the sequences write; without, all tokens read the bank as it is.
        state
            Where each sequence starts, [B, M, D]: the ``memory_state`` of what came before; None: `memory_bank`.

        Raises
        ------
        ValueError
            If `x` or `state` has another shape, dtype or device than this, that of the parameters; if what is not
            finite were left in the bank.
        """
        M, D = self.memory_bank.shape
        check_sequence("x", x, D, "d_model", self.reads.read)
        x = x.to(self.memory_bank.dtype)  # under autocast it may have another
        B, S, _ = x.shape
        T = self.block_size
        start = self._start(x) if state is None else _checked_state(state, (B, M, D), x)
        if update_memory:
            with backends.exact(x):
                banks, end = histories(start, x, self.decay, T)
        else:
            banks, end = start.unsqueeze(1).expand(B, -(-S // T), M, D), start
        blocks = F.pad(x, (0, 0, 0, banks.shape[1] * T - S)).unflatten(1, (-1, T))
        out = self.reads(blocks.flatten(0, 1), banks.flatten(0, 1)).view(B, -1, D)[:, :S]
        if update_memory and self.carry_over:
            self._keep(end)
        return out, {
            "memory_state": end,
            "memory_change": (end - start).square().mean().sqrt(),
            "memory_norm": end.square().mean(-1).amax().sqrt(),
        }

    def readable(self, bank: Float[Tensor, "M D"]) -> dict[str, Tensor]:
        """Return a bank, and the keys and values that tokens find in it, [H, M, R], by the names bank, keys, values."""
        keys, values = self.reads.looked_at(bank[None])
        return {"bank": bank, "keys": keys[0], "values": values[0]}

    @torch.no_grad()
    def following(self, bank: Float[Tensor, "M D"], block: Float[Tensor, "T D"]) -> Float[Tensor, "M D"]:
        """Return a bank after a whole block of tokens, as they are read, was written into it.

        Parameters
        ----------
        bank, block
            The one before, and the tokens.
        """
        return written(bank[None], rms_norm(block)[None], self.decay)[0]

    def extended(
        self, h: Float[Tensor, "n S D"], stretch: Stretch, past: LayerPast
    ) -> Float[Tensor, "n S D"]:
        """Return what new tokens read of the banks of their sequences, [n, S, D].

        Parameters
        ----------
        h
            The tokens.
        stretch
            Whose they are.
        past
            The banks, as the blocks before have left them.
        """
        keys, values = (stretch.of(past.banks[name]) for name in ("keys", "values"))
        return self.reads.extended(h, keys, values, stretch)

    def reset_memory(self) -> None:
        """Set the bank to what it was before anything was written."""
        with torch.no_grad():
            self.memory_bank.copy_(self.initial_bank)

    def _start(self, x: Tensor) -> Tensor:
        # A copy: what was read must not change when the bank is written.
        return self.memory_bank.clone().expand(x.shape[0], -1, -1)

    @torch.no_grad()
    def _keep(self, end: Tensor) -> None:
        mean = end.mean(0)
        if not bool(mean.isfinite().all()):
            raise ValueError(
                "memory_bank would hold what is not finite, because x does; the bank is as it was"
            )
        self.memory_bank.copy_(mean)


def _checked_state(state: Tensor, wanted: tuple[int, int, int], x: Tensor) -> Tensor:
    if (tuple(state.shape), state.dtype, state.device) != (wanted, x.dtype, x.device):
        raise ValueError(
            f"state must be {x.dtype} {list(wanted)} on {x.device}, a bank for each sequence, but is {described(state)}"
        )
    return state.detach()


def guard_banks(module: nn.Module) -> None:
    """Let a memory, or what holds some, refuse those of another model, with one sentence, before anything is loaded.

    Raises
    ------
    ValueError
        From then on, by ``load_state_dict``, if a bank has another shape than the one that it would replace.
    """
    module.register_load_state_dict_pre_hook(_refuse_other_banks)


def _refuse_other_banks(module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    for name, memory in module.named_modules():
        if not isinstance(memory, FlowMemoryNetwork):
            continue
        for bank in ("memory_bank", "initial_bank"):
            place = f"{prefix}{name}.{bank}" if name else f"{prefix}{bank}"
            saved, own = state_dict.get(place), getattr(memory, bank)
            if isinstance(saved, Tensor) and saved.shape != own.shape:
                raise ValueError(
                    f"{place} is {list(saved.shape)}, the memory of another model: this one has memory_size and "
                    f"d_model {list(own.shape)}"
                )
