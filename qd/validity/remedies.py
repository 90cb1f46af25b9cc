"""What can be done about a behaviour space that is not sound, in the words of the configuration."""

from collections.abc import Sequence

from qd.measures import DESCRIPTIONS, FEWEST_MEASURES, short_name


def ways_out(names: Sequence[str], advice: Sequence[str]) -> str:
    """Return the ways out of a verdict that is not ok: fewer measures, others, or no gate.

    Parameters
    ----------
    names
        Of the measures.
    advice
        One for each: to keep it, or to replace it and why (`qd.validity.verdict.Verdict`).
    """
    blamed = {name for name, text in zip(names, advice, strict=True) if text.startswith(f"{name}: replace")}
    rest = [name for name in names if name not in blamed]
    fewer = f"fewer measures, such as measures=[{', '.join(rest)}]" if len(rest) >= FEWEST_MEASURES else ""
    gate = "validity.gate=off goes on and only warns"
    return f"Ways out: {'; '.join(way for way in (fewer, other_measures(names), gate) if way)}"


def other_measures(names: Sequence[str]) -> str:
    """Return how to find measures besides these."""
    others = sum(name not in map(short_name, names) for name in DESCRIPTIONS)
    built_in = f"one of the {others} other built-in measures (`plasmodia validate --measures` ranks sets)"
    own = "a measure of your own is named package.module:name in measures"
    return f"{built_in}; {own}" if others else own
