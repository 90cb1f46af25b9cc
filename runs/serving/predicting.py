"""Answers to whole examples, by one pass of the model."""

from collections.abc import Sequence

import torch
from torch import nn

from runs.serving.generation import Refused, Token
from runs.serving.readers import as_tensor


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
        """Return the outputs of each example; examples of equal length are read together.

        Raises
        ------
        Refused
            If the model cannot read one, or answers what is not finite.
        """
        found: dict[int, list[float] | list[list[float]]] = {}
        for length in sorted({len(example) for example in examples}):
            places = [at for at, example in enumerate(examples) if len(example) == length]
            tokens = torch.stack([as_tensor(list(examples[at]), self._device) for at in places])
            try:
                with torch.inference_mode():
                    outputs = self._model(tokens)[0].float().cpu()
            except ValueError as error:
                raise Refused(422, f"the model cannot read these inputs: {error}") from None
            if not bool(outputs.isfinite().all()):
                raise Refused(422, "what the model answers to these inputs is not finite")
            found.update(zip(places, outputs.tolist(), strict=True))
        return [found[at] for at in range(len(examples))]  # type: ignore[return-value]
