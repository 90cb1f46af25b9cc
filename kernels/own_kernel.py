"""A user's own kernel: what it has is called and checked, what it lacks is computed as `kernels` does."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from kernels import backends
from kernels.attention import AttentionStatistics
from kernels.kernel import AUTO, BuiltInKernel, Kernel, Visible

METHODS = ("product", "attention", "weighted", "observed", "effective_rank", "correlation")


@dataclass(frozen=True, slots=True)
class OwnKernel:
    """A kernel of which some methods are the user's.

    Where it has `attention` alone, what organisms attend to is its own, and weights and statistics, where they are
    asked for, those of the softmax.

    Parameters
    ----------
    own
        An object with one or more of the methods of `Kernel`.
    name
        What messages call it.

    Raises
    ------
    ValueError
        From a method: if what the user's returns has another shape, or is on another device.
    """

    own: Any
    name: str

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return ``x weight^T + bias``, [..., M].

        Parameters
        ----------
        x, weight, bias
            As `Kernel` takes them.
        """
        found = self._of("product").product(x, weight, bias)
        return self._checked("product", found, (*x.shape[:-1], len(weight)), x)

    def attention(self, q: Tensor, k: Tensor, v: Tensor, visible: Visible, dropout: float = 0.0) -> Tensor:
        """Return what each head attends to, [B, C, S, W].

        Parameters
        ----------
        q, k, v, visible, dropout
            As `Kernel` takes them.
        """
        found = self._of("attention").attention(q, k, v, visible, dropout)
        return self._checked("attention", found, (*q.shape[:3], v.shape[3]), q)

    def weighted(self, q: Tensor, k: Tensor, v: Tensor, visible: Visible) -> tuple[Tensor, Tensor]:
        """Return what each head attends to, [B, C, S, W], and its weights, [B, C, S, N].

        Parameters
        ----------
        q, k, v, visible
            As `Kernel` takes them.
        """
        output, weights = self._pair("weighted", q, k, v, visible)
        return output, self._checked("weighted", weights, (*q.shape[:3], k.shape[2]), q)

    def observed(
        self, q: Tensor, k: Tensor, v: Tensor, visible: Visible
    ) -> tuple[Tensor, AttentionStatistics]:
        """Return what each head attends to, [B, C, S, W], and where.

        Parameters
        ----------
        q, k, v, visible
            As `Kernel` takes them.
        """
        output, where = self._pair("observed", q, k, v, visible)
        if not isinstance(where, AttentionStatistics):
            raise ValueError(
                f"kernel {self.name}: observed must return AttentionStatistics second, but returned a "
                f"{type(where).__name__}"
            )
        return output, where

    def effective_rank(self, x: Tensor) -> Tensor:
        """Return the participation ratio of vectors [..., N, D], [...]."""
        found = self._of("effective_rank").effective_rank(x)
        return self._checked("effective_rank", found, tuple(x.shape[:-2]), x)

    def correlation(self, x: Tensor) -> Tensor:
        """Return the Pearson correlation between the features of vectors [..., N, D], [..., D, D]."""
        found = self._of("correlation").correlation(x)
        return self._checked("correlation", found, (*x.shape[:-2], x.shape[-1], x.shape[-1]), x)

    def _of(self, method: str) -> Any:
        return self.own if _has(self.own, method) else AUTO

    def _pair(self, method: str, q: Tensor, k: Tensor, v: Tensor, visible: Visible) -> tuple[Tensor, Any]:
        """Return what is attended to and the second result of a method, which is ours where the user has none."""
        found = getattr(self._of(method), method)(q, k, v, visible)
        if not (isinstance(found, tuple) and len(found) == 2):
            raise ValueError(
                f"kernel {self.name}: {method} must return two results, but returned {_told(found)}"
            )
        if not _has(self.own, method):
            return self.attention(q, k, v, visible), found[1]
        return self._checked(method, found[0], (*q.shape[:3], v.shape[3]), q), found[1]

    def _checked(self, method: str, found: object, shape: tuple[int, ...], like: Tensor) -> Tensor:
        if not isinstance(found, Tensor) or tuple(found.shape) != shape or found.device != like.device:
            raise ValueError(
                f"kernel {self.name}: {method} must return a tensor {list(shape)} on {like.device}, but returned "
                f"{_told(found)}"
            )
        return found


def kernel_of(given: object, name: str | None = None) -> Kernel:
    """Return a kernel that is given by the name of a path, as an object, or, by None, as ``auto``.

    Parameters
    ----------
    given
        A name, or an object with one or more of the methods of `Kernel`.
    name
        What messages call the object; None: its class.

    Raises
    ------
    ValueError
        If there is no such path, or the object has none of the methods.
    """
    if given is None:
        return AUTO
    if isinstance(given, str):
        return BuiltInKernel(given)
    if isinstance(given, BuiltInKernel | OwnKernel):
        return given
    if isinstance(given, type) or not any(_has(given, method) for method in METHODS):
        what = (
            f"the class {given.__name__} itself" if isinstance(given, type) else f"a {type(given).__name__}"
        )
        raise ValueError(
            f"kernel must be {', '.join(backends.BACKENDS)} or an object with one or more of the methods "
            f"{', '.join(METHODS)}, but is {what}"
        )
    kind = type(given)
    return OwnKernel(given, name or f"{kind.__module__}:{kind.__qualname__}")


def _has(own: object, method: str) -> bool:
    return callable(getattr(own, method, None))


def _told(found: object) -> str:
    return (
        f"{list(found.shape)} on {found.device}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
    )
