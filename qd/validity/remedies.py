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
    """Return which measures there are besides these."""
    others = [name for name in DESCRIPTIONS if name not in map(short_name, names)]
    built_in = f"of the built-in measures there are also {', '.join(others)}; " if others else ""
    return (
        f"{built_in}a measure of your own is named package.module:name in measures; "
        "`plasmodia validate --measures` ranks what there is"
    )
