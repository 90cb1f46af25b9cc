"""What computes the products, the attention and the ranks of an organism: a path of ours by its name, or a user's own.

Shape suffixes: B examples, C heads, S queries, N keys, R and W sizes of a head, D features.
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F

from kernels import arguments, backends
from kernels.attention import Attention, AttentionStatistics, attention, attention_weights
from kernels.attention.reference import visible as visible_keys
from kernels.attention.visibility import Visibility
from kernels.correlation import correlation
from kernels.effective_rank import effective_rank
from kernels.linear import linear


@dataclass(frozen=True, slots=True, eq=False)
class Visible:
    """Which keys the queries see, and by what their scores are multiplied; None: all are seen."""

    causal: bool = False  # keys after the query are hidden
    keys: Tensor | None = None  # bool [B, N], True where a key may be seen
    bias: Tensor | None = None  # added to the scores, broadcast to [B, C, S, N]; -inf hides
    scale: Tensor | float = 1.0  # factor of the scores, before the bias: one number, or of each head, [C]
    window: Tensor | None = None  # [C]: keys at this distance or further are hidden
    positions: Tensor | None = None  # [S, P], for these distances; None: 0, 1, ..., S - 1

    def scaled(self, q: Tensor) -> Tensor:
        """Return queries [B, C, S, R] times the factors of their scores."""
        if isinstance(self.scale, Tensor):
            return q * self.scale[:, None, None]
        return q if self.scale == 1.0 else q * self.scale


@runtime_checkable
class Kernel(Protocol):
    """The operations of an organism that have more than one path; a user's may have some of them (`OwnKernel`)."""

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return ``x weight^T + bias``, [..., M].

        Parameters
        ----------
        x
            Vectors, [..., K].
        weight, bias
            The map, [M, K], and what is added, [M], or None.
        """
        ...

    def attention(self, q: Tensor, k: Tensor, v: Tensor, visible: Visible, dropout: float = 0.0) -> Tensor:
        """Return what each head attends to, softmax(scale q k^T + bias) v over the keys that are seen, [B, C, S, W].

        Parameters
        ----------
        q, k
            Queries [B, C, S, R] and keys [B, C, N, R]; N is S but where there is a bias.
        v
            Values, [B, C, N, W].
        visible
            Which keys the queries see.
        dropout
            Share of the weights that is dropped.
        """
        ...

    def weighted(self, q: Tensor, k: Tensor, v: Tensor, visible: Visible) -> tuple[Tensor, Tensor]:
        """Return what each head attends to, [B, C, S, W], and the whole matrix of its weights, [B, C, S, N].

        Parameters
        ----------
        q, k, v, visible
            As `attention` takes them.
        """
        ...

    def observed(
        self, q: Tensor, k: Tensor, v: Tensor, visible: Visible
    ) -> tuple[Tensor, AttentionStatistics]:
        """Return what each head attends to, [B, C, S, W], and where, as numbers [C].

        Parameters
        ----------
        q, k, v, visible
            As `attention` takes them, without a bias.
        """
        ...

    def effective_rank(self, x: Tensor) -> Tensor:
        """Return the participation ratio of vectors [..., N, D], [...]."""
        ...

    def correlation(self, x: Tensor) -> Tensor:
        """Return the Pearson correlation between the features of vectors [..., N, D], [..., D, D]."""
        ...


@dataclass(frozen=True, slots=True)
class BuiltInKernel:
    """The operations of `kernels`, all by one path.

    Attention is that of `kernels.attention`; where there is a bias, or dropout, torch's own, and the definition for
    "reference". Correlations are computed in float64, which Triton does not have: "triton" leaves them to torch. There
    is one product by definition, torch's: "auto" chooses between that and oneDNN's.

    Parameters
    ----------
    path
        "auto", "reference", "torch" or "triton".

    Raises
    ------
    ValueError
        If there is no such path.
    """

    path: str = "auto"

    def __post_init__(self) -> None:
        arguments.one_of("kernel", self.path, backends.BACKENDS)

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return ``x weight^T + bias``, [..., M].

        Parameters
        ----------
        x, weight, bias
            As `Kernel` takes them.
        """
        return linear(x, weight, bias, backend="auto" if self.path == "auto" else "torch")

    def attention(self, q: Tensor, k: Tensor, v: Tensor, visible: Visible, dropout: float = 0.0) -> Tensor:
        """Return what each head attends to, [B, C, S, W].

        Parameters
        ----------
        q, k, v, visible, dropout
            As `Kernel` takes them.
        """
        if visible.bias is None and not dropout:
            return self._attention(q, k, v, visible, False).output
        if self.path == "reference" and not dropout:
            return self.weighted(q, k, v, visible)[0]
        # Causality alone has a faster way.
        alone = visible.bias is None and visible.keys is None and visible.window is None
        bias = None if alone else merged(visible, q)
        causal = visible.causal and alone
        return F.scaled_dot_product_attention(
            visible.scaled(q), k, v, attn_mask=bias, dropout_p=dropout, is_causal=causal, scale=1.0
        )

    def weighted(self, q: Tensor, k: Tensor, v: Tensor, visible: Visible) -> tuple[Tensor, Tensor]:
        """Return what each head attends to, [B, C, S, W], and its weights, [B, C, S, N].

        Parameters
        ----------
        q, k, v, visible
            As `Kernel` takes them.
        """
        if visible.bias is None:
            return self.attention(q, k, v, visible), attention_weights(q, k, **_options(visible))
        scores = visible.scaled(q) @ k.mT
        wide = torch.promote_types(scores.dtype, torch.float32)
        bias = merged(visible, q, wide)
        assert bias is not None
        weights = torch.softmax(scores.to(wide) + bias, -1)
        return weights.to(v.dtype) @ v, weights

    def observed(
        self, q: Tensor, k: Tensor, v: Tensor, visible: Visible
    ) -> tuple[Tensor, AttentionStatistics]:
        """Return what each head attends to, [B, C, S, W], and where.

        Parameters
        ----------
        q, k, v, visible
            As `Kernel` takes them.
        """
        found = self._attention(q, k, v, visible, True)
        assert found.statistics is not None
        return found.output, found.statistics

    def effective_rank(self, x: Tensor) -> Tensor:
        """Return the participation ratio of vectors [..., N, D], [...]."""
        wide = self.path == "triton" and x.dtype == torch.float64
        return effective_rank(x, backend="torch" if wide else self.path)

    def correlation(self, x: Tensor) -> Tensor:
        """Return the Pearson correlation between the features of vectors [..., N, D], [..., D, D]."""
        return correlation(x, backend="torch" if self.path == "triton" else self.path)

    def _attention(self, q: Tensor, k: Tensor, v: Tensor, visible: Visible, statistics: bool) -> Attention:
        return attention(q, k, v, **_options(visible), statistics=statistics, backend=self.path)


AUTO = BuiltInKernel()


def _options(visible: Visible) -> dict[str, Any]:
    return {
        "scale": visible.scale,
        "causal": visible.causal,
        "window": visible.window,
        "key_mask": visible.keys,
        "positions": visible.positions,
    }


def merged(visible: Visible, q: Tensor, dtype: torch.dtype | None = None) -> Tensor | None:
    """Return all that hides keys as one bias; None where nothing does.

    Parameters
    ----------
    visible
        Which keys are seen.
    q
        Queries, [B, C, S, R].
    dtype
        Of the bias; None: that of the queries.
    """
    plain = visible.keys is None and not visible.causal and visible.window is None
    if visible.bias is None and plain:
        return None
    dtype = dtype or q.dtype
    bias = q.new_zeros(1, 1, 1, 1, dtype=dtype) if visible.bias is None else visible.bias.to(dtype)
    if plain:
        return bias
    heads, length = q.shape[1:3]
    one = torch.ones(heads, device=q.device)
    seen = Visibility(one, visible.causal, visible.window, visible.keys, visible.positions)
    return bias.masked_fill(~visible_keys(seen, length), -torch.inf)
