"""A model of a stream: numbers in, numbers out, at every token.

Shape suffixes: B sequences, S tokens, F and N numbers that come in and go out, D width.
"""

import torch
from torch import Tensor, nn

from organisms.layers.checks import check_tokens
from organisms.layers.initialisation import scaled_init_
from organisms.pseudopods.checks import whole
from organisms.pseudopods.evolution.evolving import Evolving
from organisms.pseudopods.pool_config import PoolConfig
from organisms.pseudopods.recording import Metrics
from organisms.pseudopods.stream.organism import Activation, Organism
from organisms.pseudopods.stream.state import FlowState
from organisms.pseudopods.tubes import TubeRules


class SlimeModel(Evolving):
    """y = norm(organism(x W_i + b_i)) W_o + b_o, with the state of an `Organism`.

    A call reads from `state` on, without one from nothing. A stateful model reads from where its last call ended, until
    `reset`; it must be shown the same sequences then, and is wrong for shuffled batches.

    Parameters
    ----------
    input_dim, latent_dim, output_dim
        F, D and N.
    head_dim
        Rank and width of the heads, of which a layer starts with D // head_dim, at least one.
    num_layers, dim_feedforward, block, tubes, dropout, activation, kernel, metrics
        As `Organism` takes them.
    slots
        Of each layer, living and empty; None: as many as heads.
    stateful
        Whether a call without a state goes on from the last one.
    device, dtype
        Of the parameters; None: the CPU, and torch's default.
    seed
        What the parameters are drawn from.

    Raises
    ------
    ValueError
        If a size is no whole number from 1 on, or as `Organism` says.
    """

    def __init__(
        self,
        input_dim: int,
        latent_dim: int,
        output_dim: int,
        head_dim: int = 64,
        *,
        num_layers: int = 2,
        dim_feedforward: int | None = None,
        block: int = 64,
        tubes: TubeRules | None = None,
        slots: int | None = None,
        dropout: float = 0.0,
        activation: Activation = "gelu",
        kernel: object = None,
        metrics: Metrics | None = None,
        stateful: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        F, D, N = (
            whole("input_dim", input_dim),
            whole("latent_dim", latent_dim),
            whole("output_dim", output_dim),
        )
        size = min(whole("head_dim", head_dim), D)
        self.input_dim, self.stateful = F, stateful
        generator = torch.Generator().manual_seed(whole("seed", seed, least=0))
        self.organism = Organism(
            D,
            max(1, D // head_dim),
            num_layers,
            dim_feedforward,
            block=block,
            tubes=tubes,
            pool=PoolConfig(slots=slots, rank=size, width=size),
            dropout=dropout,
            activation=activation,
            kernel=kernel,
            metrics=metrics,
            seed=int(torch.randint(2**62, (), generator=generator)),
        )
        self.stem = nn.utils.skip_init(nn.Linear, F, D)
        self.norm = nn.LayerNorm(D)
        self.readout = nn.utils.skip_init(nn.Linear, D, N)
        for affine in (self.stem, self.readout):
            scaled_init_(affine.weight, None, generator=generator)
            nn.init.zeros_(affine.bias)
        self.to(device=device, dtype=dtype or torch.get_default_dtype())

    def forward(
        self, x: Tensor, state: FlowState | None = None, return_state: bool = False
    ) -> Tensor | tuple[Tensor, FlowState]:
        """Return the outputs, [B, S, N], and with `return_state` the state after them.

        Parameters
        ----------
        x
            A chunk of at least one token, [B, S, F].
        state
            Where the chunk before ended; None: nothing lies before it, or in a stateful model what it read last.
        return_state
            Whether to return the state as well.

        Raises
        ------
        ValueError
            If `x` has another shape, dtype or device than this, that of the parameters; if the state is of other
            sequences or another model.
        """
        check_tokens("x", x, None, self.input_dim, "input_dim", self.stem.weight)
        start = self.organism.state if state is None and self.stateful else state
        product = self.organism.kernel.product
        latent, after = self.organism(product(x, self.stem.weight, self.stem.bias), start)
        y = product(self.norm(latent), self.readout.weight, self.readout.bias)
        return (y, after) if return_state else y

    def reset(self) -> None:
        """Forget the state of the last call."""
        self.organism.reset_state()

    def stats(self) -> dict[str, int | list[int] | list[float]]:
        """Return what `Organism.stats` does, and the number of ``parameters``."""
        return {**self.organism.stats(), "parameters": sum(each.numel() for each in self.parameters())}
