"""A model as one program of torch's plain operations (`torch.export`), and whether two programs agree."""

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from qd.seeding import generator
from runs.errors import RunError
from runs.models.opening import Opened
from runs.models.signature import Signature

TOLERANCE = 1e-4  # of the largest output, or of 1 where outputs are smaller
RECORDED = 3  # examples of the batch that is recorded: not 1, which torch takes for a constant


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """A recorded model.

    Parameters
    ----------
    exported
        Maps tokens, of batches of any size, to outputs.
    any_length
        Whether it reads sequences of any length too, and not of the task's alone.
    """

    exported: ExportedProgram
    any_length: bool


def recorded(opened: Opened) -> Program:
    """Record a model for batches of any size, and for any length if it reads any.

    Raises
    ------
    RunError
        If a part of it depends on numbers in a way that no program has, or the program answers otherwise.
    """
    if opened.any_length:
        try:
            return _checked(opened, any_length=True)
        except RunError:
            pass  # a part of it is made for the length that it sees: then for the task's alone
    return _checked(opened, any_length=False)


def recorded_once(opened: Opened) -> ExportedProgram:
    """Record a model for one example of the task's length, and for nothing else.

    Raises
    ------
    RunError
        As `recorded` does.
    """
    tokens = inputs(opened.signature, 1, opened.signature.length)
    return _exported(opened, tokens, {})


def inputs(signature: Signature, examples: int, length: int) -> Tensor:
    """Return made-up tokens, equal for equal arguments: standard normal numbers, or symbols.

    Parameters
    ----------
    signature
        Of the model that is to read them.
    examples, length
        B and S.
    """
    rng = generator(0, 0, f"export:{examples}:{length}")
    if signature.tokens == "discrete":
        return torch.from_numpy(rng.integers(0, signature.features, (examples, length)))
    return torch.from_numpy(rng.standard_normal((examples, length, signature.features))).float()


def check(opened: Opened, what: str, answer: Callable[[Tensor], Tensor], any_length: bool) -> float:
    """Compare what an export answers with its model, on batches of several sizes; return the largest difference.

    Parameters
    ----------
    opened
        The model.
    what
        How the export is called in a message.
    answer
        The export: from tokens to outputs.
    any_length
        Whether other lengths than the task's are tried too.

    Raises
    ------
    RunError
        If an output differs by more than `TOLERANCE` of the largest, or cannot be computed.
    """
    length = opened.signature.length
    sizes = [(1, length), (2, length), (5, length)]
    sizes += [(1, 2), (2, length + 3), (4, 2 * length)] if any_length else []
    return max(difference(opened, what, answer, *size) for size in sizes)


def difference(
    opened: Opened, what: str, answer: Callable[[Tensor], Tensor], examples: int, length: int
) -> float:
    """Return the largest difference of an export's outputs from its model's, as a share of the largest output.

    Parameters
    ----------
    opened, what, answer
        As `check` takes them.
    examples, length
        Of the batch that is tried.

    Raises
    ------
    RunError
        If it is more than `TOLERANCE`, or an output cannot be computed.
    """
    tokens = inputs(opened.signature, examples, length)
    with torch.no_grad():
        wanted = opened.model(tokens)
        try:
            found = answer(tokens)
        except Exception as error:  # of any kind, from the midst of who computes it
            raise RunError(
                f"{what} cannot read {examples} x {length} tokens: {first_line(error)}; nothing was written"
            ) from error
    apart = float((found - wanted).abs().max() / wanted.abs().max().clamp_min(1.0))
    if not apart <= TOLERANCE:  # also where it is no number
        raise RunError(
            f"{what} answers otherwise than the model: outputs for {examples} x {length} tokens differ by {apart:.1e} "
            f"of the largest, more than {TOLERANCE:.0e}; nothing was written"
        )
    return apart


@contextmanager
def of_torch() -> Iterator[None]:
    """Leave out what torch warns itself of while it exports, and let operations be used that no digest depends on."""
    mode = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("default")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_deterministic_debug_mode(mode)


def _checked(opened: Opened, any_length: bool) -> Program:
    tokens = inputs(opened.signature, RECORDED, opened.signature.length)
    dynamic = {0: Dim.DYNAMIC, 1: Dim.DYNAMIC} if any_length else {0: Dim.DYNAMIC}
    exported = _exported(opened, tokens, dynamic)
    check(opened, "the recorded program", exported.module(), any_length)
    return Program(exported, any_length)


def _exported(opened: Opened, tokens: Tensor, dynamic: dict[int, object]) -> ExportedProgram:
    model = _Outputs(copy.deepcopy(opened.model)).eval()
    with torch.no_grad():
        model(tokens)
        try:
            with of_torch():
                return torch.export.export(model, (tokens,), dynamic_shapes=(dynamic,), strict=False)
        except (
            Exception
        ) as error:  # of any kind: what cannot be recorded fails in the midst of the model's code
            name = opened.description["architecture"]
            raise RunError(
                f"{opened.description['path']}: this model ({name}) cannot be recorded as a program, of which every "
                f"format is made, because a part of it depends on the numbers that it reads: {first_line(error)}"
            ) from error


class _Outputs(nn.Module):
    """A model under the name that its input has in every format."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> Tensor:
        outputs: Tensor = self.model(tokens)
        return outputs


def first_line(error: BaseException) -> str:
    """Return the type of an error and the beginning of what it says."""
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
