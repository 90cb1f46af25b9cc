"""How light colours are to the eye."""

import numpy as np
from matplotlib.colors import to_rgb


def luminance(colours: np.ndarray) -> np.ndarray:
    """Relative luminance of sRGB colours [..., 3] (WCAG 2)."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def contrast(first: object, second: object) -> float:
    """Contrast ratio of two of matplotlib's colours, from 1 to 21 (WCAG 2)."""
    low, high = sorted(float(luminance(np.array(to_rgb(colour)))) for colour in (first, second))
    return (high + 0.05) / (low + 0.05)
