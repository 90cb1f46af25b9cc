"""A task, which organisms learn: four fixed splits of real or generated data and the shape of the problem."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np

from organisms.arrays import floats, numeric, symbols
from qd.canonical import canonical, sha256

Kind = Literal["class", "token", "value", "sequence"]
Tokens = Literal["continuous", "discrete"]


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Examples and what is to be predicted from them.

    ``inputs`` is float32 [N, S, F] for continuous tokens or integer [N, S] for discrete ones;
    ``targets`` is integer [N] (class), integer [N, S] (token), float32 [N, outputs] (value) or float32
    [N, S, outputs] (sequence). ``labels``, integer [N], say which of the task's labels an example has; no
    organism sees them. A task converts what it is given (`organisms.arrays`): lists, tensors, columns of data
    frames, and other dtypes where no number changes.
    """

    inputs: np.ndarray
    targets: np.ndarray
    labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.inputs)


class OfKind:
    """What follows from the kind of a task alone."""

    __slots__ = ()
    kind: Kind

    @property
    def per_position(self) -> bool:
        """Whether every position has outputs of its own, and not the example as a whole."""
        return self.kind in ("token", "sequence")

    @property
    def regression(self) -> bool:
        """Whether real numbers are to be predicted, and not classes."""
        return self.kind in ("value", "sequence")

    @property
    def score_name(self) -> str:
        """Name of the score: ``accuracy`` or ``R2``."""
        return "R2" if self.regression else "accuracy"


# From the outputs of an organism for a split to named numbers.
Metrics = Callable[[np.ndarray, Split], Mapping[str, float]]


@dataclass(frozen=True, eq=False)
class Task(OfKind):
    """A learning problem on sequences of S tokens.

    Parameters
    ----------
    name
        How messages call it.
    kind
        ``class``: one of `outputs` classes per example; ``token``: one of `outputs` symbols at every
        position; ``value``: `outputs` real numbers per example; ``sequence``: `outputs` real numbers at
        every position.
    train, probe, validation, test
        For training; for assay, ablation and measures; to choose the best organism; only for the final report.
    tokens
        ``continuous`` (each token has `features` numbers) or ``discrete`` (`features` symbols).
    positions
        Coordinates of the S tokens, float64 [S, d]; their Euclidean distance is the task's distance.
    causal
        Whether a position may only attend to itself and earlier ones.
    labels
        Names of the kinds of examples, where the splits have labels.
    classes
        Names of the `outputs` classes, for those who read answers; empty: they are numbers. Nothing that is learned
        depends on them, and so the digest does not.
    metrics
        What is reported of the test split besides the score, under names of the task's own.
    chunk
        Tokens of a chunk where an example is a stream that is read chunk by chunk: a token sees at most its own chunk
        up to itself, and beyond it only what an organism remembers. None: no stream.
    truncation
        Chunks of a stream over which gradients flow; None: all.
    """

    name: str
    kind: Kind
    train: Split
    probe: Split
    validation: Split
    test: Split
    tokens: Tokens
    features: int
    outputs: int
    positions: np.ndarray
    causal: bool = False
    labels: tuple[str, ...] = ()
    metrics: Metrics | None = None
    chunk: int | None = None
    truncation: int | None = None
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that splits, positions and sizes fit one another.

        Raises
        ------
        ValueError
            For the first thing that does not fit.
        """
        for name, kinds in (("kind", get_args(Kind)), ("tokens", get_args(Tokens))):
            if getattr(self, name) not in kinds:
                raise ValueError(f"{name} must be one of {', '.join(kinds)}, not {getattr(self, name)!r}")
        twice = [label for place, label in enumerate(self.labels) if label in self.labels[:place]]
        if twice:
            raise ValueError(f"labels must be different names, but {twice[0]!r} comes twice")
        check_classes(self.kind, self.outputs, self.classes)
        positions = numeric("positions", self.positions)
        if positions.ndim != 2 or not len(positions) or not np.isfinite(positions).all():
            raise ValueError(f"positions must be finite numbers [S, d]; they have shape {positions.shape}")
        object.__setattr__(self, "positions", positions)
        self._check_chunks()
        for name in ("train", "probe", "validation", "test"):
            object.__setattr__(self, name, self._taken(name, getattr(self, name)))
            self._check(name, getattr(self, name))
            self._check_labels(name, getattr(self, name))

    def _taken(self, name: str, split: object) -> Split:
        """Return a split whose arrays are those that its tokens and targets ask for."""
        if not isinstance(split, Split):
            raise ValueError(f"{name} must be an organisms.task.Split, not a {type(split).__name__}")
        inputs = (symbols if self.tokens == "discrete" else floats)(f"{name}.inputs", split.inputs)
        targets = (floats if self.regression else symbols)(f"{name}.targets", split.targets)
        labels = None if split.labels is None else symbols(f"{name}.labels", split.labels)
        return Split(inputs, targets, labels)

    def _check(self, name: str, split: Split) -> None:
        inputs, targets = split.inputs, split.targets
        wanted = (len(inputs), self.length) + ((self.features,) if self.tokens == "continuous" else ())
        if inputs.shape != wanted or not len(inputs):
            raise ValueError(
                f"{name}.inputs must be [N, {', '.join(map(str, wanted[1:]))}]; it is {inputs.shape}"
            )
        wanted = wanted[: 2 if self.per_position else 1] + ((self.outputs,) if self.regression else ())
        if targets.shape != wanted:
            raise ValueError(f"{name}.targets must be {wanted} for a {self.kind} task; it is {targets.shape}")
        if self.tokens == "discrete":
            _check_symbols(f"{name}.inputs", inputs, self.features)
        else:
            _check_numbers(f"{name}.inputs", inputs)
        if not self.regression:
            _check_symbols(f"{name}.targets", targets, self.outputs)
        else:
            _check_numbers(f"{name}.targets", targets)

    def _check_chunks(self) -> None:
        if self.chunk is None:
            if self.truncation is not None:
                raise ValueError(f"truncation must be None without chunks, but is {self.truncation}")
            return
        if not 2 <= self.chunk < self.length or self.length % self.chunk:
            raise ValueError(
                f"chunk must be a number of tokens, from 2 on, that divides the {self.length} of a stream into two or "
                f"more, but is {self.chunk}"
            )
        if self.truncation is not None and not 1 <= self.truncation <= self.chunks:
            raise ValueError(
                f"truncation must be a number of chunks from 1 to {self.chunks}, but is {self.truncation}"
            )
        if not self.causal or self.positions.shape[1] != 1:
            raise ValueError("a stream must be causal, with positions [S, 1]")

    def _check_labels(self, name: str, split: Split) -> None:
        if (split.labels is not None) != bool(self.labels):
            raise ValueError(f"{name}.labels must be given if the task names labels, and only then")
        if split.labels is not None:
            if split.labels.shape != (len(split),):
                raise ValueError(f"{name}.labels must be {(len(split),)}; it is {split.labels.shape}")
            _check_symbols(f"{name}.labels", split.labels, len(self.labels))

    @property
    def length(self) -> int:
        """Number of tokens S."""
        return len(self.positions)

    @property
    def sight(self) -> int:
        """Number of tokens among which one can see others: those of a chunk, or all."""
        return self.length if self.chunk is None else self.chunk

    @property
    def chunks(self) -> int:
        """Number of chunks of a stream; 1 if it is none."""
        return self.length // self.sight

    @property
    def reach(self) -> float:
        """Largest distance of two tokens of which one can see the other."""
        return float(self.distances[: self.sight, : self.sight].max())

    @cached_property
    def distances(self) -> np.ndarray:
        """Euclidean distance between every two tokens, float64 [S, S]."""
        return np.linalg.norm(self.positions[:, None] - self.positions[None], axis=-1)

    def visible(self, window: float) -> np.ndarray:
        """Return which tokens (columns) each token (row) sees, bool [S, S]: nearer than window, not later if causal.

        In a stream they are of the same chunk.
        """
        place = np.arange(self.length) // self.sight
        near = (self.distances < window) & (place[:, None] == place)
        return np.tril(near) if self.causal else near

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that a run can see of the task; labels and chunks count where there are any."""
        splits = (self.train, self.probe, self.validation, self.test)
        arrays = [array for split in splits for array in (split.inputs, split.targets)] + [self.positions]
        content: dict[str, Any] = {
            "shape": [self.kind, self.tokens, self.features, self.outputs, self.causal],
            "arrays": [_content(array) for array in arrays],
        }
        labels = [_content(split.labels) for split in splits if split.labels is not None]
        if labels:
            content["labels"] = [self.labels, labels]
        if self.chunk is not None:
            content["stream"] = [self.chunk, self.truncation]
        return sha256(canonical(content))


def check_classes(kind: Kind, outputs: int, classes: tuple[str, ...]) -> None:
    """Refuse names of classes that are not one for each class.

    Parameters
    ----------
    kind, outputs
        Of the task.
    classes
        The names; empty: there are none.

    Raises
    ------
    ValueError
        If the kind has no classes, or names are missing, too many, no text or alike.
    """
    if not classes:
        return
    if not all(isinstance(each, str) for each in classes):
        raise ValueError(f"classes must be names, not {list(classes)}")
    if kind != "class" or len(classes) != outputs or len(set(classes)) < len(classes):
        raise ValueError(
            f"classes must be a name of its own for each of the {outputs} outputs of a task of kind class, but are "
            f"{len(set(classes))} different names of kind {kind}"
        )


def _content(array: np.ndarray) -> list[Any]:
    return [str(array.dtype), array.shape, sha256(array.tobytes())]


def _check_numbers(name: str, numbers: np.ndarray) -> None:
    broken = ~np.isfinite(numbers)
    if broken.any():
        place = [int(index) for index in np.argwhere(broken)[0]]
        raise ValueError(
            f"{name} must be finite, but {np.count_nonzero(broken):,} of {numbers.size:,} numbers are not, the first "
            f"at {place}; fill them in, or leave out their examples"
        )


def _check_symbols(name: str, found: np.ndarray, number: int) -> None:
    if found.min() < 0 or found.max() >= number:
        furthest = f"smallest is {found.min()}" if found.min() < 0 else f"largest is {found.max()}"
        raise ValueError(f"{name} must be whole numbers from 0 to {number - 1}; the {furthest}")
