"""What a training needs besides the model to go on: raw parameters, moments, the scaler, as named tensors."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from runs.errors import RunError

PARAMETERS, MOMENTS, SCALER = "parameters.", "moments.", "scaler."
_SCALER = ("scale", "_growth_tracker")  # of its state, what changes


def packed(
    optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, raw: nn.Module | None
) -> dict[str, Tensor]:
    """Return the state of a training by name.

    Parameters
    ----------
    optimizer
        Whose groups name their parameters.
    scaler
        Of gradients.
    raw
        The model, where the checkpoint keeps the average of its parameters instead; None: it keeps these.
    """
    found = {f"{PARAMETERS}{name}": each for name, each in (raw.state_dict() if raw else {}).items()}
    for name, parameter in _named(optimizer):
        for moment, value in optimizer.state[parameter].items():
            found[f"{MOMENTS}{moment}.{name}"] = value
    state = scaler.state_dict()
    return found | {
        f"{SCALER}{name}": torch.tensor(float(state[name]), dtype=torch.float64) for name in _SCALER if state
    }


def restore(
    found: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    raw: nn.Module | None,
) -> None:
    """Put a state that `packed` returned back.

    Parameters
    ----------
    found
        Tensors by name.
    optimizer, scaler, raw
        As `packed` takes them.

    Raises
    ------
    RunError
        If it is the state of another training.
    """
    try:
        if raw is not None:
            raw.load_state_dict(_below(PARAMETERS, found))
        moments: dict[str, dict[str, Tensor]] = {}
        for key, value in _below(MOMENTS, found).items():
            moment, _, name = key.partition(".")
            moments.setdefault(name, {})[moment] = value
        for name, parameter in _named(optimizer):
            optimizer.state[parameter] = {
                moment: _placed(value, parameter, moment) for moment, value in moments.pop(name, {}).items()
            }
        if moments:
            raise ValueError(f"it has moments of {next(iter(moments))!r}, which the model has not")
        scaling = _below(SCALER, found)
        if scaling:
            scale, growth = (float(scaling[name]) for name in _SCALER)
            scaler.load_state_dict({**scaler.state_dict(), "scale": scale, "_growth_tracker": int(growth)})
    except (KeyError, RuntimeError, ValueError) as error:
        raise RunError(
            f"the state of this training is that of another one: {' '.join(str(error).split())}"
        ) from None


def _named(optimizer: torch.optim.Optimizer) -> Iterable[tuple[str, nn.Parameter]]:
    for group in optimizer.param_groups:
        yield from zip(group["names"], group["params"], strict=True)


def _below(prefix: str, found: Mapping[str, Tensor]) -> dict[str, Any]:
    return {name.removeprefix(prefix): each for name, each in found.items() if name.startswith(prefix)}


def _placed(value: Tensor, parameter: nn.Parameter, moment: str) -> Tensor:
    if moment == "step":  # a number, which the optimizer keeps on the CPU
        return value.clone()
    if value.shape != parameter.shape:
        raise ValueError(f"a moment is {list(value.shape)}, but its parameter {list(parameter.shape)}")
    return value.to(parameter.device, copy=True)
