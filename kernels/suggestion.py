"""What an error message suggests in place of a name that is not known."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(value: object, known: Iterable[str]) -> str:
    """Return "; did you mean 'name'?" for the known name nearest to `value`, in any case, or "" where none is near."""
    names = {name.lower(): name for name in known}
    near = get_close_matches(str(value).lower(), names, n=1)
    return f"; did you mean {names[near[0]]!r}?" if near else ""
