"""What in a run depends on each blob, in words, found in its journal."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from archive_store.blobs import is_digest
from archive_store.errors import JournalError
from archive_store.journal.journal import KEPT_STATES, Journal, State
from archive_store.journal.values import Calibrated, values
from qd.emitters.records import Emission
from qd.records import ComponentId, Decision, Outcome

NOTHING = "nothing that the run knows of"


@dataclass(frozen=True, slots=True)
class Use:
    """Why a blob is there."""

    round: int  # in which it was stored
    dependents: str
    kept: bool = True  # False for a state that newer ones have replaced: its blob may be gone


def uses(journal: Journal, until: int, finished: bool) -> dict[str, Use]:
    """Find out what depends on each blob, by digest.

    Parameters
    ----------
    journal
        The journal of the run.
    until
        Last round to believe.
    finished
        Whether the run has ended, so that nothing goes on from its states.

    Raises
    ------
    JournalError
        If an event is not what its kind says, or a digest is none.
    """
    found: dict[str, Use] = {}
    for calibrated in values(journal.events(0, "calibration", until), Calibrated):
        found |= _of_calibration(calibrated)
    found |= {
        digest: use for digest, use in _of_states(journal.states(), finished).items() if use.round <= until
    }
    holders = _holders(values(journal.events(kind="outcome", until=until), Outcome))
    born = _children(values(journal.events(kind="decision", until=until), Decision))
    emitted = _emitted(values(journal.events(kind="emission", until=until), Emission))
    found |= _of_genomes(holders, born, emitted, until)
    for name in found:
        if not is_digest(name):
            raise JournalError(
                f"the journal names a blob {name!r:.80}, which is no digest; restore it from a copy"
            )
    return found


def _of_calibration(value: Calibrated) -> dict[str, Use]:
    named = {value.interface: "the interface of all organisms"}
    named |= {host: f"reference host {number}" for number, host in enumerate(value.hosts)}
    named |= {value.centroids: "the cells of the archive"}
    return {digest: Use(0, f"every round: {what}") for digest, what in named.items()}


def _of_states(states: Iterable[State], finished: bool) -> dict[str, Use]:
    found = {}
    newer: dict[int, list[State]] = defaultdict(list)
    for state in sorted(states, key=lambda state: (state.organism, state.round)):
        newer[state.organism].insert(0, state)
    for organism, stored in newer.items():
        for place, state in enumerate(stored):
            what = f"organism {organism} as it was after round {state.round}"
            kept = place < KEPT_STATES
            found[state.digest] = Use(state.round, f"{what}; {_without(stored, place, finished)}", kept)
    return found


def _without(stored: list[State], place: int, finished: bool) -> str:
    """Describe what a resume does without the state at a place of its organism's states, the newest first."""
    if finished:
        return "the run has ended and nothing goes on from it"
    if place >= KEPT_STATES:
        return "a resume goes on from newer states"
    if place + 1 < min(len(stored), KEPT_STATES):
        return f"a resume falls back to the older state after round {stored[place + 1].round}"
    return f"a resume founds the organism anew and repeats rounds 1 to {stored[0].round}"


def _of_genomes(
    holders: Mapping[int, list[tuple[int, str]]],
    children: Mapping[str, list[str]],
    emitted: Mapping[str, list[int]],
    last: int,
) -> dict[str, Use]:
    phrases: dict[str, list[str]] = defaultdict(list)
    stored: dict[str, int] = {}
    for cell, held in sorted(holders.items()):
        ends = [round - 1 for round, _ in held[1:]]
        for (first, genome), end in zip(held, [*ends, None], strict=True):
            stored.setdefault(genome, first)
            phrases[genome].append(f"the elite of cell {cell} {_span(first, end, last)}")
    for genome, born in children.items():
        phrases[genome].append(f"a possible parent of {', '.join(born)}")
    for genome, rounds in emitted.items():
        when = f"round{'s' if len(rounds) > 1 else ''} {', '.join(map(str, rounds))}"
        phrases[genome].append(f"a parent of emitters' children in {when}")
    return {genome: Use(stored[genome], "; ".join(phrases[genome])) for genome in stored}


def _holders(outcomes: Iterable[Outcome]) -> dict[int, list[tuple[int, str]]]:
    """Map each cell to the rounds at whose end it had a new elite, each with the elite's genome."""
    held: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.status == "reject":
            continue
        cell, candidate = outcome.cell, outcome.candidate
        if held[cell] and held[cell][-1][0] == candidate.round:
            held[cell].pop()  # beaten in its own round, so never stored
        held[cell].append((candidate.round, candidate.genome))
    return held


def _span(first: int, end: int | None, last: int) -> str:
    if end is None:
        return f"at the end of round {last}"
    return f"in round {first}" if first == end else f"in rounds {first} to {end}"


def _emitted(emissions: Iterable[Emission]) -> dict[str, list[int]]:
    """Map each genome to the rounds in which emitters made children of it, rising."""
    rounds: dict[str, list[int]] = defaultdict(list)
    for emission in emissions:
        for parent in emission.parents:
            if emission.round not in rounds[parent.genome]:
                rounds[parent.genome].append(emission.round)
    return rounds


def _children(decisions: Iterable[Decision]) -> dict[str, list[str]]:
    """Map each genome to the components that may have been born of it: a replay tries all candidates again."""
    born: dict[str, list[str]] = defaultdict(list)
    for decision in decisions:
        for birth in decision.births:
            if birth.happens:
                child = str(ComponentId(decision.organism, decision.round, birth.slot))
                genomes = [genome for proposal in birth.proposals for genome in proposal.genomes]
                for genome in dict.fromkeys(genomes):
                    born[genome].append(child)
    return born
