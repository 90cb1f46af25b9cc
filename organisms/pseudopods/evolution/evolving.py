"""What models of pseudopods have in common where their heads are born and die in a user's own training loop."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from organisms.pseudopods.evolution.config import EvolutionConfig
from organisms.pseudopods.heads import PseudopodAttention

if TYPE_CHECKING:
    import pandas as pd

    from organisms.pseudopods.evolution.evolution import Evolution


class Evolving(nn.Module):
    """A model whose heads can evolve: `evolves` once, then `evolve` after each step of the optimizer."""

    _evolution: "Evolution | None" = None

    def evolves(self, optimizer: torch.optim.Optimizer, config: EvolutionConfig | None = None) -> None:
        """Let heads be born and die from here on, each time that `evolve` is called after a step of the optimizer.

        In data-parallel training call it in every process: they agree on losses and measures, and so on every birth.

        Parameters
        ----------
        optimizer
            That trains the heads, and maybe more.
        config
            Time scales and limits; None: those of `EvolutionConfig`.

        Raises
        ------
        ValueError
            If the optimizer does not train all heads, or one of the two is something else.
        """
        from organisms.pseudopods.evolution.evolution import Evolution

        if config is not None and not isinstance(config, EvolutionConfig):
            raise ValueError(f"config must be an EvolutionConfig, but is a {type(config).__name__}")
        heads = [module for module in self.modules() if isinstance(module, PseudopodAttention)]
        self._evolution = Evolution(heads, optimizer, config or EvolutionConfig())

    @property
    def evolution(self) -> "Evolution":
        """The evolution of its heads; its `state_dict` belongs into a checkpoint, beside those of model and optimizer.

        Raises
        ------
        ValueError
            If there is none.
        """
        if self._evolution is None:
            raise ValueError("the heads of this model do not evolve; call evolves(optimizer) before evolve")
        return self._evolution

    def evolve(self, loss: Tensor | float) -> None:
        """Go one step of the evolution on: call it once between the optimizer's step and `zero_grad`.

        Parameters
        ----------
        loss
            Of the step, one number. While one is not finite, nothing is born and nothing dies.

        Raises
        ------
        ValueError
            If heads do not evolve, there are no gradients, or the loss is not one number.
        """
        self.evolution.step(loss)

    def history(self, frame: str = "rounds") -> "pd.DataFrame":
        """Return what happened so far: a frame with the columns of a run's of this name.

        Parameters
        ----------
        frame
            "rounds", "census", "decisions" or "validity".

        Raises
        ------
        ValueError
            If heads do not evolve, or there is no such frame.
        """
        return self.evolution.history.frame(frame)

    def archive_summary(self) -> dict[str, Any]:
        """Return what the archive holds: its cells, how many are filled, scores of elites, bytes of genomes."""
        return self.evolution.summary()
