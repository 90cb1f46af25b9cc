"""What components add to the residual stream, kept as factors: y_n = values_n @ write_n.

Shape suffixes: B examples, n components, S tokens, W inner size, D residual width. Norms and pooled readouts of x + y_n
follow from the factors. Inner products with y_n are one small product for each token of what is written in full, which
is computed once for all hosts; where that would take too much memory, they follow from the factors as well.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from kernels.kernel import AUTO, Kernel
from organisms.layers.norms import EPSILON
from organisms.nn import Interface, example_losses, examples_at_once
from organisms.task import Task

MOST_IN_FULL = 2**24  # numbers of what is written that are kept, 64 MiB


@dataclass(frozen=True, eq=False)
class Writes:
    """What n components of one layer write on B examples."""

    values: Float[Tensor, "B n S W"]
    write: Float[Tensor, "n W D"]
    # Of their organism: sums and, of factors, maps of the stream are its products.
    kernel: Kernel = field(default=AUTO, kw_only=True)

    def __getitem__(self, components: Sequence[int]) -> "Writes":
        """Return the writes of some of the components."""
        return Writes(self.values[:, components], self.write[components], kernel=self.kernel)

    def __neg__(self) -> "Writes":
        """Return the negated writes: added to a stream that holds the components' sum, each removes its own."""
        return Writes(self.values, -self.write, kernel=self.kernel)

    def total(self) -> Float[Tensor, "B S D"]:
        """Return the sum over all components, as one matrix product."""
        return self.kernel.product(self.values.transpose(1, 2).flatten(2), self.write.flatten(0, 1).T)

    def dense(self) -> Iterator[Float[Tensor, "B S D"]]:
        """Return what each component writes, one after the other."""
        if self._fits:
            return iter(self._in_full.unbind(0))
        return (values @ write for values, write in zip(self.values.unbind(1), self.write, strict=True))

    def norms(self) -> Float[Tensor, "B n S"]:
        """Return the Euclidean norm of what each component adds to each token."""
        return self._power.clamp_min(0.0).sqrt()

    def along(self, slope: Float[Tensor, "B S D"]) -> Float[Tensor, "B n"]:
        """Return the inner product <slope, y_n> of each example."""
        return self._across(slope).sum(-1)

    def losses(
        self, task: Task, interface: Interface, stream: Float[Tensor, "B S D"], targets: Tensor
    ) -> Float[Tensor, "n B"]:
        """Return the losses when each component alone is added to the stream, a few examples at a time.

        They are those of `organisms.nn.readout` of ``stream + y_n`` but for rounding.

        Parameters
        ----------
        task
            Says which loss it is, and whether every position has outputs of its own.
        interface
            Holds the readout's ``read`` and ``bias``.
        stream
            The residual stream without the components.
        targets
            Of the B examples.
        """
        scale, without = self._inverse_rms(stream), stream @ interface["read"]
        read, bias = self.write @ interface["read"], interface["bias"]
        if not task.per_position:
            own = (scale.unsqueeze(-2) @ self.values).squeeze(-2).transpose(0, 1) @ read
            sums = (scale @ without).transpose(0, 1) + own
            return example_losses(task, sums / stream.shape[-2] + bias, targets)
        few = examples_at_once(task, interface, stream, len(self.write))
        parts = zip(*(each.split(few) for each in (self.values, scale, without, targets)), strict=True)
        losses = [
            example_losses(task, _of_positions(values, scales, own, read, bias), wanted)
            for values, scales, own, wanted in parts
        ]
        return torch.cat(losses, dim=1)

    def cosine(self, other: Float[Tensor, "B S D"]) -> Float64[Tensor, " n"]:
        """Return ``<y_n, other> / (|y_n| |other|)`` over all examples, tokens and directions; 0 where one is 0."""
        along = self.along(other).double().sum(0)
        size = (self.size * other.double().square().sum()).sqrt()
        return torch.where(size > 0, along / size.clamp_min(1e-30), 0.0).clamp(-1.0, 1.0)

    @cached_property
    def size(self) -> Float64[Tensor, " n"]:
        """The squared Euclidean norm of what each component writes on all examples together."""
        return self._power.clamp_min(0.0).double().sum((0, 2))

    @cached_property
    def effective_rank(self) -> Float64[Tensor, " n"]:
        """The participation ratio ``tr(C)^2 / |C|^2`` of the Gram matrix ``C = y_n^T y_n`` [D, D]; 0 for zeros.

        With ``C = write^T G write`` for ``G = values^T values`` it follows from matrices of the inner size alone.
        """
        flat = self.values.transpose(0, 1).flatten(1, 2)
        return _participation(flat.transpose(1, 2) @ flat, self.write)

    @cached_property
    def constancy(self) -> Float64[Tensor, " n"]:
        """The power of the mean over examples as a share of all, ``|mean_B y_n|^2 / mean_B |y_n|^2``; 0 for zeros."""
        common = self._mean.square().sum((-2, -1))
        whole = self.size / max(1, len(self.values))
        return torch.where(whole > 0, common / whole.clamp_min(1e-30), 0.0).clamp(0.0, 1.0)

    def projected(self, direction: Float64[Tensor, "S D"]) -> Float64[Tensor, " n"]:
        """Return ``<R, mean_B y_n> / sqrt(mean_B |y_n|^2)`` for a direction R; 0 for zeros."""
        along = (self._mean * direction).sum((-2, -1))
        whole = self.size / max(1, len(self.values))
        return torch.where(whole > 0, along / whole.clamp_min(1e-30).sqrt(), 0.0)

    @cached_property
    def _mean(self) -> Float64[Tensor, "n S D"]:
        return (self.values.mean(0) @ self.write).double()

    @cached_property
    def _power(self) -> Float[Tensor, "B n S"]:
        if self._fits:
            return torch.linalg.vector_norm(self._in_full, dim=-1).square().transpose(0, 1)
        return ((self.values @ (self.write @ self.write.transpose(-1, -2))) * self.values).sum(-1)

    @property
    def _fits(self) -> bool:
        """Whether what is written is kept in full: with gradients, the way back through the factors is shorter."""
        examples, n, tokens, _ = self.values.shape
        follows = self.values.requires_grad or self.write.requires_grad
        return not follows and examples * n * tokens * self.write.shape[-1] <= MOST_IN_FULL

    @cached_property
    def _in_full(self) -> Float[Tensor, "n B S D"]:
        examples, n, tokens, inner = self.values.shape
        written = self.values.transpose(0, 1).reshape(n, examples * tokens, inner) @ self.write
        return written.unflatten(1, (examples, tokens))

    def _across(self, stream: Float[Tensor, "B S D"]) -> Float[Tensor, "B n S"]:
        """Return the inner product ``<stream, y_n>`` of each token."""
        if self._fits:
            tokens_first = self._in_full.flatten(1, 2).permute(1, 2, 0)
            found = stream.reshape(-1, 1, stream.shape[-1]) @ tokens_first
            return found.view(*stream.shape[:2], -1).transpose(1, 2)
        n, inner, width = self.write.shape
        joined = self.kernel.product(stream, self.write.reshape(n * inner, width))
        return (self.values * joined.unflatten(-1, (n, inner)).transpose(1, 2)).sum(-1)

    def _inverse_rms(self, stream: Float[Tensor, "B S D"]) -> Float[Tensor, "B n S"]:
        power = stream.square().sum(-1).unsqueeze(1) + 2 * self._across(stream) + self._power
        return torch.rsqrt(power.clamp_min(0.0) / stream.shape[-1] + EPSILON)


def _of_positions(
    values: Float[Tensor, "B n S W"],
    scale: Float[Tensor, "B n S"],
    without: Float[Tensor, "B S outputs"],
    read: Float[Tensor, "n W outputs"],
    bias: Float[Tensor, " outputs"],
) -> Float[Tensor, "n B S outputs"]:
    """Return outputs of each position: ``scale (without + values read) + bias``."""
    n, examples = len(read), values.transpose(0, 1).flatten(1, 2)
    changed = torch.baddbmm(without.flatten(0, 1).expand(n, -1, -1), examples, read)
    scales = scale.transpose(0, 1).flatten(1).contiguous()  # whose order of strides the outputs take
    outputs = torch.addcmul(bias, scales.unsqueeze(-1), changed)
    return outputs.unflatten(1, without.shape[:2])


def _participation(gram: Float[Tensor, "n W W"], write: Float[Tensor, "n W D"]) -> Float64[Tensor, " n"]:
    product = gram.double() @ (write @ write.transpose(-1, -2)).double()
    trace = product.diagonal(dim1=-2, dim2=-1).sum(-1)
    square = (product * product.transpose(-1, -2)).sum((-2, -1))
    return torch.where(square > 0, trace.square() / square.clamp_min(1e-300), 0.0)
