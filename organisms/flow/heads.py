"""How many heads share a width evenly."""

import logging
from functools import cache

from organisms.flow.whole_numbers import count

_log = logging.getLogger(__name__)


def adjust_num_heads(d_model: object, num_heads: object, *, strict: bool = False) -> int:
    """Return the divisor of the width that is nearest to the number of heads, of two equally near ones the larger.

    A change is logged as a warning, once for each pair of numbers.

    Parameters
    ----------
    d_model
        Width that the heads share, at least 1.
    num_heads
        Heads that are wanted, at least 1.
    strict
        Whether a change is refused instead.

    Raises
    ------
    ValueError
        If one of the two is no whole number from 1 on; in strict mode, if the heads cannot share the width evenly.

    Examples
    --------
    >>> [adjust_num_heads(width, heads) for width, heads in ((64, 8), (65, 8), (128, 12))]
    [8, 5, 16]
    """
    width, wanted = count("d_model", d_model), count("num_heads", num_heads)
    divisors = [heads for heads in range(1, width + 1) if width % heads == 0]
    nearest = min(divisors, key=lambda heads: (abs(heads - wanted), -heads))
    if nearest == wanted:
        return wanted
    if strict:
        raise ValueError(
            f"num_heads must divide d_model, {width}, evenly, which {wanted} does not; the nearest is {nearest}"
        )
    _log_once(width, wanted, nearest)
    return nearest


@cache
def _log_once(width: int, wanted: int, nearest: int) -> None:
    _log.warning("num_heads is %d instead of %d, because it must divide d_model, %d", nearest, wanted, width)
