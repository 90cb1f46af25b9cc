"""Answers to whole examples, by one pass of the model."""

from collections.abc import Sequence

import torch
from torch import nn

from runs.serving.generation import Refused, Token
from runs.serving.readers import as_tensor

TOGETHER = 2048  # tokens: those whose sequences are continued meanwhile wait for as many


class Predictor:
    """A model that answers examples.

    Parameters
    ----------
    model
        In evaluation mode, called as ``model(tokens, mask=None, generator=None)``.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._device = next((each.device for each in model.parameters()), torch.device("cpu"))

    def __call__(self, examples: Sequence[Sequence[Token]]) -> list[list[float]] | list[list[list[float]]]:
        """Return the outputs of each example; they are of one length.

        Raises
        ------
        Refused
            If the model cannot read one, or answers what is not finite.
        """
        tokens = torch.stack([as_tensor(list(example), self._device) for example in examples])
        try:
            with torch.inference_mode():
                outputs = self._model(tokens)[0].float().cpu()
        except ValueError as error:
            raise Refused(422, f"the model cannot read these inputs: {error}") from None
        if not bool(outputs.isfinite().all()):
            raise Refused(422, "what the model answers to these inputs is not finite")
        return list(outputs.tolist())


def batches(lengths: Sequence[int]) -> list[list[int]]:
    """Return which examples are read together, by their lengths: equal ones, of some thousand tokens at most."""
    found = []
    for length in sorted(set(lengths)):
        places = [at for at, each in enumerate(lengths) if each == length]
        size = max(1, TOGETHER // length)
        found += [places[start : start + size] for start in range(0, len(places), size)]
    return found
