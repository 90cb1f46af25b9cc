"""A transformer encoder whose heads are pseudopods.

Shape suffixes: B examples, S tokens, D width.
"""

import torch
from torch import Tensor, nn

from kernels import arguments, backends
from kernels.own_kernel import kernel_of
from organisms.layers.checks import described
from organisms.pseudopods.checks import not_negative, share, whole
from organisms.pseudopods.encoder.layer import Activation, SlimeMoldEncoderLayer, activation_of
from organisms.pseudopods.encoder.masks import visible
from organisms.pseudopods.evolution.evolving import Evolving
from organisms.pseudopods.pool_config import PoolConfig, pool_of
from organisms.pseudopods.recording import Metrics, metrics_of, of_layer


class SlimeMoldEncoder(Evolving):
    """A stack of layers of pseudopods, called as `torch.nn.TransformerEncoder` is.

    With the heads that `PoolConfig` makes by default, it computes what that does, and `from_transformer_encoder` takes
    over its weights. All parameters are drawn from `seed`, each layer's on their own; dropout draws from torch's
    global generator, as torch's own modules do.

    Differs from torch's: padded tokens have outputs, which torch's fast path sets to zero; nested tensors are not read;
    `is_causal` needs no mask beside it.

    Parameters
    ----------
    d_model, nhead, dim_feedforward
        D, heads that each layer starts with, and hidden units.
    dropout
        Share of weights, hidden units and writes that training drops.
    activation
        "relu", "gelu" or "silu", or a function.
    layer_norm_eps
        Under the roots of the norms.
    batch_first
        Whether tokens are [B, S, D] instead of [S, B, D].
    norm_first
        Whether norms come before pseudopods and network instead of after them.
    device, dtype
        Of the parameters; None: the CPU, and torch's default.
    num_layers
        Layers.
    pool
        Slots of each layer, and the sizes of its heads.
    kernel
        What computes maps and attention: auto, reference, torch or triton, or an object with some of the methods of
        `kernels.kernel.Kernel`; None: auto.
    metrics
        Is called with a name such as ``layers.0.written`` and a tensor in each forward pass: how strongly each slot
        writes, [C], without a gradient. None: nothing of it is computed.
    seed
        What the parameters are drawn from.
    norm
        Applied to the output; None: nothing is.
    bias
        Whether maps and norms have biases.

    Raises
    ------
    ValueError
        If a size is no whole number from 1 on, the dropout no share, heads do not fit the pool, or there is no such
        activation or kernel.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int = 8,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Activation = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        num_layers: int = 6,
        pool: PoolConfig | None = None,
        kernel: object = None,
        metrics: Metrics | None = None,
        seed: int = 0,
        norm: nn.Module | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.pool = pool_of(pool)
        self.kernel, self.metrics = kernel_of(kernel), metrics_of(metrics)
        self.d_model, self.batch_first = whole("d_model", d_model), batch_first
        self.num_layers = whole("num_layers", num_layers)
        shape = self.pool.shape(d_model, whole("nhead", nhead))
        whole("dim_feedforward", dim_feedforward)
        generator = torch.Generator().manual_seed(whole("seed", seed, least=0))
        self.layers = nn.ModuleList(
            SlimeMoldEncoderLayer(
                d_model,
                dim_feedforward,
                shape,
                dropout=share("dropout", dropout),
                activation=activation_of(activation),
                layer_norm_eps=not_negative("layer_norm_eps", layer_norm_eps),
                norm_first=norm_first,
                bias=bias,
                generator=generator,
                n_layers=num_layers,
            )
            for _ in range(num_layers)
        )
        self.norm = norm
        self.slots = shape.slots
        self.to(device=device, dtype=dtype or torch.get_default_dtype())

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """Return the encoded tokens, of the shape of `src`.

        Parameters
        ----------
        src
            Tokens, [S, B, D], with `batch_first` [B, S, D], or of one sequence [S, D].
        mask
            True where a query, a row, must not see a key, or what is added to the score, [S, S], or for each of C slots
            of each sequence [B C, S, S].
        src_key_padding_mask
            True where a token is padding, or what is added to the scores of its key, [B, S]; of one sequence [S].
        is_causal
            Whether a token sees itself and earlier ones only. A mask beside it is taken to say the same, and not read.

        Raises
        ------
        ValueError
            If a tensor has another shape, dtype or device than this, that of the parameters.
        """
        x = self._batched(src)
        padding = src_key_padding_mask
        if src.ndim == 2 and isinstance(padding, Tensor):
            padding = padding.unsqueeze(0)
        seen = visible(mask, padding, is_causal, x, self.slots)
        for number, layer in enumerate(self.layers):
            x = layer(x, seen, self.kernel, of_layer(self.metrics, number))
        if self.norm is not None:
            x = self.norm(x)
        if src.ndim == 2:
            return x.squeeze(0)
        return x if self.batch_first else x.transpose(0, 1).contiguous()

    def _batched(self, src: Tensor) -> Tensor:
        arguments.tensors(src=src)
        if src.is_nested:
            raise ValueError(
                "src must be a padded tensor with src_key_padding_mask, but is nested; "
                "torch.nested.to_padded_tensor makes one of it"
            )
        parameter = next(self.parameters())
        fits = src.ndim in (2, 3) and src.shape[-1] == self.d_model and src.device == parameter.device
        mixed = backends.mixed(src) and src.is_floating_point()
        if not fits or not (mixed or src.dtype == parameter.dtype):
            axes = "[B, S, " if self.batch_first else "[S, B, "
            raise ValueError(
                f"src must be {axes}{self.d_model}], as d_model says, or [S, {self.d_model}], and {parameter.dtype} on "
                f"{parameter.device} as the parameters, but is {described(src)}"
            )
        if src.ndim == 2:
            return src.unsqueeze(0)
        return src if self.batch_first else src.transpose(0, 1).contiguous()
