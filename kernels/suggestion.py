"""What an error message suggests in place of a name that is not known."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(value: object, known: Iterable[str]) -> str:
    """Return "; did you mean 'name'?" for the known name nearest to `value`, or "" where none is near."""
    near = get_close_matches(str(value), list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
