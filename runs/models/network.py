"""A model around a body that maps a residual stream to one: what embeds tokens before it, and what reads it out."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kernels.linear import linear
from organisms.layers.norms import RMSNorm
from runs.models.signature import Signature

# (x [B, S, D], mask [B, S] or None, generator) -> (x [B, S, D], metrics)
Body = Callable[[Tensor, Tensor | None, torch.Generator | None], tuple[Tensor, dict[str, Tensor]]]


class Network(nn.Module):
    """outputs = head(norm(body(embed(tokens) + positions))), over positions or of their mean, as the signature says.

    Positions are sinusoids (Vaswani et al. 2017, section 3.5), so that sequences of any length are read.

    Parameters
    ----------
    signature
        What is read and answered.
    d_model
        Width of the residual stream, D.
    body
        A module with the call of `Body`.
    generator
        What embedding and head are drawn from, on the CPU.
    """

    def __init__(
        self, signature: Signature, d_model: int, body: nn.Module, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.signature, self.body = signature, body
        scale = 1.0 if signature.tokens == "discrete" else 1 / math.sqrt(signature.features)
        self.embed = nn.Parameter(torch.randn(signature.features, d_model, generator=generator) * scale)
        self.norm = RMSNorm(d_model)
        self.head = nn.Parameter(
            torch.randn(signature.outputs, d_model, generator=generator) / math.sqrt(d_model)
        )
        self.head_bias = nn.Parameter(torch.zeros(signature.outputs))

    def forward(
        self, tokens: Tensor, mask: Tensor | None = None, generator: torch.Generator | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the outputs, [B, outputs] or [B, S, outputs], and the metrics of the body.

        Parameters
        ----------
        tokens
            Of B examples: float [B, S, features], or int64 [B, S].
        mask
            False where a token is padding, [B, S]; None: nowhere.
        generator
            What noise and dropout are drawn from in training; not read without them.
        """
        discrete = self.signature.tokens == "discrete"
        x = F.embedding(tokens, self.embed) if discrete else linear(tokens, self.embed.T)
        x = x + sinusoids(x.shape[1], x.shape[2]).to(x)
        x, metrics = self.body(x, mask, generator)
        x = self.norm(x)
        if not self.signature.per_position:
            x = mean_of_tokens(x, mask)
        return linear(x, self.head, self.head_bias), metrics


class Pooled(nn.Module):
    """A model with outputs at each token, of which those of an example are the mean.

    Parameters
    ----------
    model
        Maps tokens to [B, S, outputs] and metrics.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, tokens: Tensor, mask: Tensor | None = None, generator: torch.Generator | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the outputs, [B, outputs], and the metrics of the model.

        Parameters
        ----------
        tokens, mask, generator
            As in `Network.forward`.
        """
        outputs, metrics = self.model(tokens, mask, generator)
        return mean_of_tokens(outputs, mask), metrics


class OutputsOnly(nn.Module):
    """A model whose metrics are left out: ``outputs = model(tokens, mask)``.

    Parameters
    ----------
    model
        Maps tokens to outputs and metrics.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the outputs; arguments as in `Network.forward`."""
        outputs: Tensor = self.model(tokens, mask)[0]
        return outputs


class Padded(nn.Module):
    """A model of sequences of one length under the call of a model, which reads shorter ones too where it is causal.

    What is missing is padded behind, where no token looks.

    Parameters
    ----------
    model
        Maps tokens of `signature.length` to outputs.
    signature
        What it reads and answers.
    """

    def __init__(self, model: nn.Module, signature: Signature) -> None:
        super().__init__()
        self.model, self.signature = model, signature

    def forward(
        self, tokens: Tensor, mask: Tensor | None = None, generator: torch.Generator | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the outputs, [B, outputs] or [B, S, outputs], and no metrics.

        Parameters
        ----------
        tokens
            Of B examples: float [B, S, features], or int64 [B, S].
        mask, generator
            Not read.

        Raises
        ------
        ValueError
            If the sequences are longer, or shorter and the model is not causal.
        """
        signature, length = self.signature, tokens.shape[1]
        missing = signature.length - length
        grows = signature.causal and signature.per_position
        if missing < 0 or (missing and not grows):
            raise ValueError(
                f"sequences must have {'at most ' if grows else ''}{signature.length} tokens, as those that this model "
                f"was trained on, not {length}"
            )
        behind = (0, missing) if tokens.ndim == 2 else (0, 0, 0, missing)
        outputs: Tensor = self.model(F.pad(tokens, behind))
        return (outputs[:, :length] if signature.per_position else outputs), {}


def mean_of_tokens(x: Tensor, mask: Tensor | None) -> Tensor:
    """Return the mean over the tokens that are no padding, [B, D]."""
    if mask is None:
        return x.mean(1)
    kept = mask.unsqueeze(-1).to(x)
    return (x * kept).sum(1) / kept.sum(1).clamp_min(1)


def sinusoids(length: int, width: int) -> Tensor:
    """Return sinusoidal positions, float32 [length, width]: sin(p w_i) and cos(p w_i), w_i = 10000^(-2 i / width)."""
    frequencies = 10_000.0 ** -(torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = torch.outer(torch.arange(length, dtype=torch.float64), frequencies)
    return torch.cat([angles.sin(), angles.cos()], -1)[:, :width].float()
