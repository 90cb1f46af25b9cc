"""The presets: configurations that come with Plasmodia, by name."""

from pathlib import Path

PRESETS = Path(__file__).parents[1] / "presets"


def presets() -> list[str]:
    """Return the names of the presets, sorted."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))
