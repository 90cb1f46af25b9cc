"""A layer of a flow network: flow and attention beside one another, then a feed-forward network.

Shape suffixes: B examples, S tokens, D width that comes in, O width that goes out.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from kernels.linear import linear
from organisms.flow.attention import CrossAttention, WindowedAttention
from organisms.flow.flow_layer import FlowLayer
from organisms.flow.memory import FlowMemoryNetwork
from organisms.flow.past import INPUTS, LayerPast
from organisms.flow.router import ContextAwareFlowRouter
from organisms.flow.sequences import check_sequence, generator_or_default
from organisms.flow.stretch import Ring, Stretch
from organisms.flow.whole_numbers import count
from organisms.layers.config import ExpertConfig
from organisms.layers.dense_ffn import DenseFFN
from organisms.layers.initialisation import drawn
from organisms.layers.norms import RMSNorm


class EnhancedFlowLayer(nn.Module):
    """z = x + flow(h) + attention(h) + cross(h, context) + memory(h) with h = norm(x); y = P z + ffn(norm(P z)).

    P is the identity where the two widths are equal. The flow follows the plan of a `ContextAwareFlowRouter`; each of
    attention, cross-attention and memory is left out unless it is asked for.

    Ours: the document names the parts alone.

    Parameters
    ----------
    input_dim, output_dim
        D and O.
    num_patterns, base_sparsity, num_channels, window, causal
        Of the flow, as `FlowLayer` takes them; self-attention has the same window.
    num_heads
        Heads of attention, brought to a divisor of D (`adjust_num_heads`).
    self_attention, cross_attention
        Whether there is one of them.
    adaptive
        Whether there is a router; without, every token receives from all of its window.
    memory_size
        Slots of the memory; None: there is none.
    num_memory_heads, block_size, carry_over
        Of the memory, as `FlowMemoryNetwork` takes them.
    hidden_dim
        Of the feed-forward network; None: 4 O.
    generator
        What the parameters are drawn from, on the CPU; None: a new one of seed 0.
    n_layers
        L, the layers of the model, for the scaled initialisation.

    Raises
    ------
    ValueError
        If a size is no whole number from 1 on, the sparsity no share, or `generator` no generator of the CPU.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        num_patterns: int,
        num_heads: int,
        *,
        base_sparsity: float = 0.1,
        num_channels: int = 2,
        window: int | None = None,
        causal: bool = False,
        self_attention: bool = True,
        cross_attention: bool = False,
        adaptive: bool = True,
        memory_size: int | None = None,
        num_memory_heads: int = 4,
        block_size: int | None = None,
        carry_over: bool = False,
        hidden_dim: int | None = None,
        generator: torch.Generator | None = None,
        n_layers: int = 1,
    ) -> None:
        super().__init__()
        D, O = count("input_dim", input_dim), count("output_dim", output_dim)  # noqa: E741 - the equation's names
        hidden = 4 * O if hidden_dim is None else count("hidden_dim", hidden_dim)
        heads = count("num_heads", num_heads)
        stream = generator_or_default(generator)
        self.norm = RMSNorm(D)
        self.flow = FlowLayer(
            D,
            D,
            num_patterns,
            base_sparsity,
            num_channels=num_channels,
            window=window,
            causal=causal,
            generator=stream,
            n_layers=n_layers,
        )
        self.router = self.attention = self.cross = self.memory = self.project = None
        if adaptive:
            self.router = ContextAwareFlowRouter(
                D,
                window=window,
                base_sparsity=base_sparsity,
                causal=causal,
                generator=stream,
            )
        if self_attention:
            self.attention = WindowedAttention(
                D, heads, window=window, causal=causal, generator=stream, n_layers=n_layers
            )
        if cross_attention:
            self.cross = CrossAttention(D, heads, generator=stream, n_layers=n_layers)
        if memory_size is not None:
            self.memory = FlowMemoryNetwork(
                D,
                memory_size,
                num_memory_heads,
                block_size=block_size,
                carry_over=carry_over,
                generator=stream,
                n_layers=n_layers,
            )
        if D != O:
            self.project = nn.Parameter(drawn((O, D), (D, O), "xavier_normal", stream))
        self.feed_forward_norm = RMSNorm(O)
        expert = ExpertConfig(d_model=O, d_hidden=hidden, activation="gelu")
        self.feed_forward = DenseFFN(expert, stream, n_layers=n_layers)

    def forward(
        self,
        x: Float[Tensor, "B S D"],
        context: Float[Tensor, "B T D"] | None = None,
        *,
        update_memory: bool = True,
        past: Float[Tensor, "B P D"] | None = None,
        state: Tensor | None = None,
    ) -> tuple[Float[Tensor, "B S O"], dict[str, Tensor]]:
        """Return the tokens that go out, [B, S, O], and the metrics of flow, router and memory.

        Parameters
        ----------
        x
            Tokens, [B, S, D].
        context
            What cross-attention attends to, [B, T, D]; None where there is none.
        update_memory
            Whether the memory is written.
        past
            Tokens that came right before x and were given to this layer then, [B, P, D]: x sees them as its own past.
        state
            The ``memory_state`` that they left, [B, M, D]; None: what the memory starts from.

        Raises
        ------
        ValueError
            If a tensor has another shape, dtype or device than this, that of the parameters; if there is a context and
            no cross-attention, or the other way round, or a state and no memory.
        """
        check_sequence("x", x, self.flow.input_dim, "input_dim", self.norm.weight)
        if (context is None) != (self.cross is None):
            found = (
                "missing, but cross_attention is on"
                if context is None
                else "given, but cross_attention is off"
            )
            raise ValueError(f"context is {found}; both or neither must be there")
        if state is not None and self.memory is None:
            raise ValueError("state is given, but there is no memory; set memory_size")
        if past is not None:
            check_sequence("past", past, self.flow.input_dim, "input_dim", self.norm.weight)
        S = x.shape[1]
        h_all = self.norm(x if past is None else torch.cat([past, x], 1))
        h, metrics = h_all[:, -S:], {}
        plan = None
        if self.router is not None:
            plan, metrics = self.router(h_all)
        moved, own = self.flow(h_all, materialize=False, plan=plan)
        z, metrics = x + moved[:, -S:], metrics | own
        if self.attention is not None:
            z = z + self.attention(h_all)[:, -S:]
        if self.cross is not None:
            z = z + self.cross(h, context)
        if self.memory is not None:
            read, own = self.memory(h, update_memory, state)
            z, metrics = z + read, metrics | own
        if self.project is not None:
            z = linear(z, self.project)
        return z + self.feed_forward(self.feed_forward_norm(z)), metrics

    def new_past(self, slots: int, *, shared: bool) -> LayerPast:
        """Return what this layer keeps of so many sequences that are read piece by piece.

        Parameters
        ----------
        slots
            Sequences at the same time.
        shared
            As `LayerPast` takes it.

        Raises
        ------
        ValueError
            If the layer cannot be read so (`obstacle`).
        """
        found = obstacle(self)
        if found:
            raise ValueError(f"the layer cannot read token by token: {found}")
        D, C = self.flow.input_dim, self.flow.num_channels
        widths = {INPUTS: (1, D), "senders": (C, self.flow.reduced_dim), "moved": (C, -(-D // C))}
        if self.attention is not None:
            shape = (self.attention.num_heads, D // self.attention.num_heads)
            widths |= {"keys": shape, "values": shape}
        return LayerPast(slots, self.ring, widths, self.memory, self.norm.weight, shared=shared)

    @property
    def ring(self) -> Ring:
        """How far the layer looks back, and in which blocks its memory writes.

        Raises
        ------
        ValueError
            If it has no window.
        """
        if self.flow.window is None:
            raise ValueError("a layer without a window keeps no last tokens; set window")
        return Ring(self.flow.window, None if self.memory is None else self.memory.block_size)

    def extended(
        self, x: Float[Tensor, "n S D"], stretch: Stretch, past: LayerPast
    ) -> Float[Tensor, "n S O"]:
        """Return new tokens as they go out, [n, S, O], as `forward` has them at the end of their sequences.

        Parameters
        ----------
        x
            The tokens.
        stretch
            Whose they are.
        past
            What is kept of those before, to which the new ones are added.
        """
        h = self.norm(x)
        inputs = past.write(stretch, INPUTS, h.unsqueeze(1))
        plan = None
        if self.router is not None:
            sums = stretch.mixed(stretch.seen.unsqueeze(1).to(h.dtype), inputs)[:, 0]
            around = sums / stretch.seen.sum(-1, keepdim=True)
            plan = self.router.extended(h, around, stretch.ring.window)
        z = x + self.flow.extended(h, plan, stretch, past)
        if self.attention is not None:
            z = z + self.attention.extended(h, stretch, past)
        if self.memory is not None:
            z = z + self.memory.extended(h, stretch, past)
        past.record(stretch)
        for slot, start in zip(stretch.slots, stretch.starts, strict=True):
            past.advance(slot, start + stretch.count)
        if self.project is not None:
            z = F.linear(z, self.project)
        h_ND = self.feed_forward_norm(z).flatten(0, 1)
        return z + self.feed_forward.each(h_ND).view_as(z)


def obstacle(layer: EnhancedFlowLayer) -> str | None:
    """Return why a layer cannot be read piece by piece, a token seeing what was kept of others; None: it can."""
    if not layer.flow.causal:
        return "its tokens see later ones"
    if layer.flow.window is None:
        return "its flows have no window, so that each token chooses among all, and the more of them the longer it is"
    if layer.cross is not None:
        return "its cross-attention needs a context"
    if layer.memory is not None and layer.memory.carry_over:
        return "its memory is carried over from call to call"
    return None
