"""The networks of a run as plain modules: its best one, any organism that is kept, or several together.

run = open_run("out/digits")
model = best_model(run)
outputs = predict(model, images)  # runs.models.predicting
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from archive_store.journal.journal import State
from archive_store.reading import Run
from qd.genes import GeneSpace
from runs.calibration.stored import config_of
from runs.errors import RunError
from runs.models.keeping.living import OrganismModel
from runs.models.signature import Signature
from runs.results.best import newest, organism_of, world_of

if TYPE_CHECKING:
    from organisms.species import Organism
    from runs.training.world import World


class Ensemble(nn.Module):
    """Several networks of one task as one.

    Of real numbers the outputs are the mean of theirs. Of classes they are ``log mean_n softmax(logits_n)``: the
    mean of their probabilities, as logits, whose softmax is that mean.

    Parameters
    ----------
    models
        At least one; each maps tokens to outputs.
    regression
        Whether the outputs are real numbers.

    Raises
    ------
    ValueError
        If there is none.
    """

    def __init__(self, models: Sequence[nn.Module], regression: bool) -> None:
        super().__init__()
        if not models:
            raise ValueError("models must be at least one network, but there is none")
        self.models = nn.ModuleList(models)
        self.regression = regression

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the outputs of all together, [B, outputs] or [B, S, outputs].

        Parameters
        ----------
        tokens
            Of B examples: float [B, S, features], or int64 [B, S].
        """
        each = torch.stack([model(tokens) for model in self.models])
        if self.regression:
            return each.mean(0)
        return torch.log_softmax(each, -1).logsumexp(0) - math.log(len(self.models))


def best_model(run: Run) -> OrganismModel:
    """Return the network of the best validation score among the newest that a run keeps, in evaluation mode.

    Code of the run's own (a task or a family by import path) is imported.

    Raises
    ------
    RunError
        If none is kept yet, or it cannot be built again: its weights have other shapes than the configuration says.
    StoreError
        If a file of the run is damaged.
    """
    return _model(run, rebuilt(run), best_state(run))


def organism_model(run: Run, organism: int, round: int | None = None) -> OrganismModel:
    """Return the network of one organism, in evaluation mode.

    Parameters
    ----------
    run
        As `archive_store.reading.open_run` gives it.
    organism
        Its number, from 0.
    round
        At whose end; None: at that of the last of which it is kept.

    Raises
    ------
    RunError
        If it is not kept; the message says which are.
    StoreError
        If a file of the run is damaged.
    """
    states = kept_states(run)
    own = [state for state in states if state.organism == organism and round in (None, state.round)]
    if not own:
        of_round = "" if round is None else f" at round {round}"
        raise RunError(f"{run.directory.path} keeps no organism {organism}{of_round}; {_listed(states)}")
    return _model(run, rebuilt(run), max(own, key=lambda state: state.round))


def ensemble(run: Run, rounds: Sequence[int] | None = None) -> Ensemble:
    """Return all organisms of some rounds as one network, in evaluation mode.

    Parameters
    ----------
    run
        As `archive_store.reading.open_run` gives it.
    rounds
        Rounds at whose end states are kept; None: the newest of them.

    Raises
    ------
    RunError
        If none is kept of one of the rounds; the message says which are.
    StoreError
        If a file of the run is damaged.
    """
    states = kept_states(run)
    last = max((state.round for state in states), default=0)
    wanted = [last] if rounds is None else list(rounds)
    missing = [round for round in wanted if all(state.round != round for state in states)]
    if missing or not wanted:
        asked = f" of round {missing[0]}" if missing else ", as no round is asked for"
        raise RunError(f"{run.directory.path} keeps no organism{asked}; {_listed(states)}")
    world = rebuilt(run)
    models = [_model(run, world, state) for state in states if state.round in wanted]
    return Ensemble(models, world.task.regression).eval()


def best_state(run: Run) -> State:
    """Return the state of the organism of the best validation score among the newest that are kept.

    Raises
    ------
    RunError
        If none with a score is.
    """
    state = newest(run)
    if state is None:
        raise RunError(
            f"{run.directory.path} keeps no network with a score yet; look again after execution.checkpoint_every "
            "rounds"
        )
    return state


def kept_states(run: Run) -> list[State]:
    """Return the states that a run keeps, by round and organism."""
    with run.directory.journal() as journal:
        return sorted(journal.states(), key=lambda state: (state.round, state.organism))


def rebuilt(run: Run) -> "World":
    """Return the world of a run: its task, its family and its interface, on the CPU.

    Raises
    ------
    PlasmodiaError
        If the run's data or settings are not what they were, or what it keeps is of another version.
    StoreError
        If its files are damaged.
    """
    return world_of(run, config_of(run.directory), exact=False)


def best_of(run: Run) -> tuple[OrganismModel, Signature]:
    """Return what `best_model` returns, and what it reads and answers."""
    world = rebuilt(run)
    return _model(run, world, best_state(run)), Signature.of(world.task)


def _model(run: Run, world: "World", state: State) -> OrganismModel:
    organism = organism_of(run, world, state)
    _check_genes(run, state, organism, world.species.genes)
    try:
        return OrganismModel(organism).eval()
    except ValueError as error:
        raise RunError(f"{run.directory.path}: {error}") from None


def _check_genes(run: Run, state: State, organism: "Organism", space: GeneSpace) -> None:
    """Refuse components whose genes, and so the shapes of their weights, the configuration does not have.

    Whole tensors were compared already: what a gene says is the part of them that a component has.
    """
    pool = organism.pool
    for layer in range(pool.depth):
        for slot in pool.living(layer):
            occupant = pool.occupants[layer * pool.capacity + slot]
            genes = {} if occupant is None else dict(occupant.genes)
            for name, wanted in space.items():
                found = genes.get(name, math.nan)
                if not wanted.low <= found <= wanted.high or (wanted.integer and not found.is_integer()):
                    kind = "a whole number" if wanted.integer else "a number"
                    raise RunError(
                        f"{run.directory.path}: the weights of organism {state.organism} do not fit the configuration: "
                        f"gene {name!r} in slot {slot} of layer {layer} must be {kind} from {wanted.low:g} to "
                        f"{wanted.high:g}, but is {found:g}; restore the run from a copy"
                    )


def _listed(states: Sequence[State]) -> str:
    if not states:
        return "no state is kept yet: look again after execution.checkpoint_every rounds"
    rounds = sorted({state.round for state in states})
    organisms = sorted({state.organism for state in states})
    return f"it keeps rounds {', '.join(map(str, rounds))} of organisms {', '.join(map(str, organisms))}"
