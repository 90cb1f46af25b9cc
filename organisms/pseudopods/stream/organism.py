"""An organism of pseudopods that reads a stream of any length in chunks of any length.

Shape suffixes: L layers, B sequences, S tokens, D width.
"""

from typing import Literal, TypeAlias, cast, get_args

import torch
from torch import Tensor, nn

from kernels import arguments
from kernels.own_kernel import kernel_of
from organisms.layers.checks import check_tokens
from organisms.layers.config import ExpertConfig
from organisms.layers.dense_ffn import DenseFFN
from organisms.pseudopods.checks import share, whole
from organisms.pseudopods.evolution.evolving import Evolving
from organisms.pseudopods.heads import PseudopodAttention
from organisms.pseudopods.pool_config import PoolConfig, pool_of
from organisms.pseudopods.recording import Metrics, metrics_of, of_layer
from organisms.pseudopods.stream.layer import StreamLayer
from organisms.pseudopods.stream.state import Convert, FlowState, check_state, new_state, stacked
from organisms.pseudopods.tubes import TubeRules

Activation: TypeAlias = Literal["gelu", "relu", "silu"]


class Organism(Evolving):
    """L layers (`StreamLayer`) around one residual stream: (stimulus, state) -> (output, state of the next chunk).

    A stream that is cut into chunks has the outputs that it has in one piece, but for roundings, wherever it is cut;
    these can turn the choice between two tubes whose conductances are equal to the last bits. Memory and the time for a
    chunk do not grow with what lies before it. Gradients flow within a call and end where it began, as the state has
    none: a longer chunk lets them reach further back.

    Parameters
    ----------
    latent_dim
        D.
    nhead
        Heads that each layer starts with.
    num_layers
        L.
    dim_feedforward
        Hidden units; None: 4 D.
    block
        Tokens of a block, T: a token sees T to 2 T - 1 tokens before itself directly.
    tubes
        How the tubes live that hold what is out of sight; None: TubeRules(decay=0.9, capacity=64).
    pool
        Slots of each layer, and the sizes of its heads.
    dropout
        Share of what heads and network write that training drops.
    activation
        "relu", "gelu" or "silu".
    kernel
        What computes maps and attention: auto, reference, torch or triton, or an object with some of the methods of
        `kernels.kernel.Kernel`; None: auto. An object with `attention` alone is asked for what heads attend to, and
        tubes thicken by the weights of the softmax.
    metrics
        Is called with a name such as ``layers.0.written`` and a tensor in each call: how strongly each slot writes,
        [C], without a gradient. None: nothing of it is computed.
    seed
        What the parameters are drawn from.

    Raises
    ------
    ValueError
        If a size is no whole number from 1 on, the dropout no share, heads do not fit the pool, or there is no such
        activation or kernel.
    """

    def __init__(
        self,
        latent_dim: int,
        nhead: int = 8,
        num_layers: int = 2,
        dim_feedforward: int | None = None,
        *,
        block: int = 64,
        tubes: TubeRules | None = None,
        pool: PoolConfig | None = None,
        dropout: float = 0.0,
        activation: Activation = "gelu",
        kernel: object = None,
        metrics: Metrics | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.pool, self.rules = pool_of(pool), _rules(tubes)
        self.latent_dim, self.block = whole("latent_dim", latent_dim), whole("block", block)
        L = whole("num_layers", num_layers)
        shape = self.pool.shape(latent_dim, whole("nhead", nhead))
        arguments.one_of("activation", activation, get_args(Activation))
        hidden = 4 * latent_dim if dim_feedforward is None else whole("dim_feedforward", dim_feedforward)
        expert = ExpertConfig(d_model=latent_dim, d_hidden=hidden, activation=activation)
        generator = torch.Generator().manual_seed(whole("seed", seed, least=0))
        share("dropout", dropout)
        self.kernel, self.metrics = kernel_of(kernel), metrics_of(metrics)
        self.layers = nn.ModuleList()
        for _ in range(L):
            heads = PseudopodAttention(latent_dim, shape, generator, n_layers=L)
            network = DenseFFN(expert, generator, n_layers=L)
            self.layers.append(StreamLayer(heads, network, self.rules, block, dropout, self.kernel))
        self.slots = shape.slots
        self.state: FlowState | None = None

    def forward(self, stimulus: Tensor, state: FlowState | None = None) -> tuple[Tensor, FlowState]:
        """Return the output, [B, S, D], and the state after the chunk, which is kept in `state` as well.

        Parameters
        ----------
        stimulus
            A chunk of at least one token, [B, S, D].
        state
            Where the chunk before ended; None: nothing lies before it.

        Raises
        ------
        ValueError
            If the stimulus has another shape, dtype or device than this, that of the parameters; if the state is of
            other sequences or another model.
        """
        parameter = next(self.parameters())
        check_tokens("stimulus", stimulus, None, self.latent_dim, "latent_dim", parameter)
        if not stimulus.numel():
            raise ValueError(f"stimulus must hold at least one token, but is {list(stimulus.shape)}")
        shape = (len(self.layers), len(stimulus), self.latent_dim)
        if state is None:
            state = new_state(shape, self.rules.none, parameter.detach())
        check_state(state, shape, self.block, self.rules.capacity, parameter)
        x, left = stimulus, []
        for number, (layer, under_way, tubes, before) in enumerate(
            zip(self.layers, state.input, state.hidden, state.residual, strict=True)
        ):
            x, behind = layer(x, under_way, tubes, before, of_layer(self.metrics, number))
            left.append(behind)
        self.state = stacked(left)
        return x, self.state

    def reset_state(self) -> None:
        """Forget the state of the last call."""
        self.state = None

    def stats(self) -> dict[str, int | list[int] | list[float]]:
        """Return the number of ``slots`` of a layer; and of each, ``living`` heads and, of the state kept, ``tubes``.

        Those are the open tubes of a sequence, a mean over sequences; ``conductance`` is that of all of them together.
        Without a state there are none.
        """
        hidden = () if self.state is None else self.state.hidden
        none = [0.0] * len(self.layers)
        return {
            "slots": self.slots,
            "living": [len(cast(StreamLayer, layer).pseudopods.living()) for layer in self.layers],
            "tubes": [float((each.conductance > 0).sum(1).double().mean()) for each in hidden] or none,
            "conductance": [float(each.conductance.double().sum(1).mean()) for each in hidden] or none,
        }

    def _apply(self, fn: Convert, recurse: bool = True) -> "Organism":
        made = super()._apply(fn, recurse)
        if self.state is not None:
            self.state = self.state.converted(fn)
        return made


def _rules(tubes: TubeRules | None) -> TubeRules:
    if tubes is None:
        return TubeRules(decay=0.9, capacity=64)
    if not isinstance(tubes, TubeRules):
        raise ValueError(f"tubes must be TubeRules, but is a {type(tubes).__name__}")
    return tubes
