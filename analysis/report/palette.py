"""The colours of a page, as properties of its style, so that a drawing is right in a light and in a dark window."""

from collections.abc import Mapping
from typing import Any

import matplotlib

from analysis import style

SHADES = 32  # of the map of objectives
_NUMBERED = (*style.MEASURE_COLOURS[:6], style.INK)
_LIGHT = {
    "ground": "#ffffff",
    "field": "#f4f4f4",
    "ink": style.INK,
    "soft": "#555555",
    "edge": "#767676",
    "line": "#dddddd",
    "link": "#0064a0",
    "focus": style.BLUE,
    "told": "#a63f00",
    "good": "#007a5a",
    "empty": style.EMPTY,
    "faint": style.FAINT,
    "chosen": style.VERMILLION,
}
_DARK = {
    "ground": "#14171a",
    "field": "#22262b",
    "ink": "#e6e6e6",
    "soft": "#b0b4b8",
    "edge": "#8a9096",
    "line": "#363c42",
    "link": "#7cc4f0",
    "focus": style.SKY,
    "told": "#ffa366",
    "good": "#35c79a",
    "empty": "#5b6167",
    "faint": "#2a2f34",
    "chosen": "#ff7a1a",
}
# On a dark ground the darkest quarter of viridis cannot be seen, as its palest twentieth cannot on white.
_DARKEST = 0.25
_BRIGHT_BLUE = "#2e8fd0"  # which the blue of the palette hardly is on a dark ground


def colours() -> Mapping[str, Any]:
    """Return the colours that the page's script draws with, by what they are for: names of properties."""
    return {
        "series": [f"var(--series-{place})" for place in range(len(_NUMBERED))],
        "scale": [f"var(--shade-{place})" for place in range(SHADES)],
        **{name: f"var(--{name})" for name in ("ink", "empty", "faint", "chosen")},
    }


def palette() -> str:
    """Return the properties as a style sheet: light ones, and dark ones where the window is dark and no printer."""
    light = _declared(_LIGHT, _NUMBERED, 0.0, 0.95)
    dark = _declared(_DARK, (_BRIGHT_BLUE, *_NUMBERED[1:-1], _DARK["ink"]), _DARKEST, 1.0)
    return (
        f":root {{ color-scheme: light; {light} }}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ color-scheme: dark; {dark} }} }}\n"
    )


def _declared(named: Mapping[str, str], series: tuple[str, ...], low: float, high: float) -> str:
    viridis = matplotlib.colormaps["viridis"]
    shades = [viridis(low + (high - low) * place / (SHADES - 1)) for place in range(SHADES)]
    properties = {
        **named,
        **{f"series-{place}": colour for place, colour in enumerate(series)},
        **{
            f"shade-{place}": "#" + "".join(f"{round(255 * part):02x}" for part in shade[:3])
            for place, shade in enumerate(shades)
        },
    }
    return " ".join(f"--{name}: {value.lower()};" for name, value in properties.items())
